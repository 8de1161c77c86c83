use super::*;

const SECRET: &str = "open-sesame";

#[test]
fn a_password_is_in_no_message_and_no_debug_output() {
    let good = format!("postgres://ann:{SECRET}@localhost:5433/books");
    let target = Target::parse(&good).unwrap();
    assert_eq!(target.place(), "postgres://ann@localhost:5433/books");
    for url in [
        format!("mysql://ann:{SECRET}@localhost/books"),
        format!("postgres://%ff:{SECRET}@localhost/books"),
        format!("postgres://ann:{SECRET}@localhost:port/books"),
        format!("postgres://ann:{SECRET}@localhost/books?sslmode={SECRET}"),
        format!("postgres:///books?password={SECRET}"),
        format!("postgres://ann:{SECRET}@db.example.com/books"),
    ] {
        let error = Target::parse(&url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
    assert!(!format!("{target:?} {:?}", target.config()).contains(SECRET));
}

#[test]
fn the_way_to_another_machine_is_never_in_the_clear_by_accident() {
    for (url, tls) in [
        ("postgres://db.example.com/books", None),
        ("postgres://db.example.com/books?sslmode=prefer", None),
        ("postgres://localhost,db.example.com/books", None),
        ("postgres://10.0.0.7/books?sslmode=disable", Some(false)),
        ("postgres://db.example.com/books?sslmode=require", Some(true)),
        ("postgres://localhost/books?sslmode=require", Some(true)),
        ("postgres://localhost/books", Some(false)),
        ("postgres://127.0.0.1/books", Some(false)),
        ("postgresql://%2Frun%2Fpostgresql/books", Some(false)),
        ("postgres:///books?host=/run/postgresql", Some(false)),
    ] {
        match (Target::parse(url), tls) {
            (Ok(target), Some(tls)) => assert_eq!(target.tls.is_some(), tls, "{url}"),
            (Err(PostgresError::TlsUnsaid(_)), None) => {}
            (result, _) => panic!("{url}: {result:?}"),
        }
    }
}
