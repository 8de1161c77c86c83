use super::*;
use groat_pg_cluster::Cluster;

#[tokio::test]
async fn every_statement_begins_at_a_key() {
    let cluster = Cluster::start();
    let url = cluster.database();
    crate::PostgresStore::open(&url).await.unwrap();
    let (client, _task) = Target::parse(&url).unwrap().connect().await.unwrap();
    set_up(&client).await.unwrap();
    let types = "text[], text[], bigint[], text[], boolean[], text[], bigint[]";
    let array = "ARRAY['x']";
    for (sql, types, bounds, index) in [
        (GET, "text, text", "'sales', 'k'".to_owned(), "records_pkey"),
        (SCAN, "text, text, boolean, bigint", "'sales', 'k', false, 9".to_owned(), "records_pkey"),
        (SCAN_OPEN, "text, text, boolean, bigint", "'sales', 'k', false, 9".to_owned(), "records_open"),
        (super::super::group::LOCK, "text[], text[]", format!("{array}, {array}"), "records_pkey"),
        (
            super::super::group::UPDATE,
            types,
            format!("{array}, {array}, '{{1}}', {array}, '{{f}}', {array}, '{{1}}'"),
            "records_pkey",
        ),
    ] {
        client.batch_execute("DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan").await.unwrap();
        client.batch_execute(&format!("PREPARE asked ({types}) AS {sql}")).await.unwrap();
        let rows = client.query(&format!("EXPLAIN EXECUTE asked ({bounds})"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(&format!("using {index} on records")), "{plan}");
        assert!(plan.contains("Index Cond: ((book = ") && plan.contains("(key "), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}
