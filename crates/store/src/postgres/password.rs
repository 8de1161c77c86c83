//! A password that the URL does not hold: from `PGPASSWORD`, or from a password file as `psql` reads it.
//!
//! The file has a line for each database, `host:port:database:user:password`; `*` fits everything, and a backslash
//! comes before a colon or a backslash that is meant as such.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::PostgresError;

/// The password for this database, where one is set.
pub(super) fn find(
    host: &str,
    port: u16,
    database: &str,
    user: &str,
) -> Result<Option<String>, PostgresError> {
    if let Some(password) = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()) {
        return Ok(Some(password));
    }
    let file = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let Some(file) = file.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass"))) else {
        return Ok(None);
    };
    from_file(&file, &[host, &port.to_string(), database, user])
}

fn from_file(file: &Path, wanted: &[&str; 4]) -> Result<Option<String>, PostgresError> {
    // None is as good as one that says nothing of this database: the server may not want a password.
    let Ok(about) = std::fs::metadata(file) else { return Ok(None) };
    if !about.is_file() {
        return Ok(None);
    }
    if about.permissions().mode() & 0o077 != 0 {
        return Err(PostgresError::Readable(file.to_owned()));
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    Ok(text.lines().filter(|line| !line.starts_with('#')).find_map(|line| fitting(line, wanted)))
}

/// The password of a line whose other fields fit.
fn fitting(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = fields(line).into_iter();
    for wanted in wanted {
        let (field, bare) = fields.next()?;
        if field != *wanted && bare != "*" {
            return None;
        }
    }
    fields.next().map(|(password, _)| password).filter(|password| !password.is_empty())
}

/// The fields, each without and with its backslashes: `\*` is a star and fits only itself.
fn fields(line: &str) -> Vec<(String, String)> {
    let mut fields = vec![(String::new(), String::new())];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == ':' {
            fields.push(Default::default());
            continue;
        }
        let Some((plain, bare)) = fields.last_mut() else { break };
        bare.push(character);
        let meant = if character == '\\' { characters.next().unwrap_or('\\') } else { character };
        plain.push(meant);
        if character == '\\' {
            bare.push(meant);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [&str; 4] = ["db", "5432", "books", "ann"];

    #[test]
    fn the_first_line_that_fits_counts() {
        for (line, password) in [
            ("db:5432:books:ann:secret", Some("secret")),
            ("*:*:*:*:any", Some("any")),
            ("db:5432:books:bob:other", None),
            ("db:5433:books:ann:other", None),
            ("\\*:5432:books:ann:other", None),
            (r"db:5432:books:ann:a\:b\\c", Some(r"a:b\c")),
            ("db:5432:books:ann:", None),
            ("db:5432:books", None),
            ("", None),
        ] {
            assert_eq!(fitting(line, &HERE).as_deref(), password, "{line}");
        }
    }

    #[test]
    fn k09_a_password_file_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "# mine\nx:*:*:*:no\n*:*:*:ann:yes\n*:*:*:*:later\n").unwrap();
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o600);
        assert_eq!(from_file(file.path(), &HERE).unwrap().as_deref(), Some("yes"));
        set(0o644);
        let error = from_file(file.path(), &HERE).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        assert_eq!(from_file(Path::new("/nowhere/pgpass"), &HERE).unwrap(), None);
    }
}
