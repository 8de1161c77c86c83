//! Every target on its corpus, and on mutations of it that a seed draws: the same ones in every run.
//!
//! `GROAT_FUZZ_SEED` draws others, `GROAT_FUZZ_RUNS` multiplies their number. What breaks a promise is printed as a
//! file to be put into the corpus.
#![allow(clippy::unwrap_used, missing_docs)]

mod mutator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use groat_fuzz_targets::{ALL, Target};
use mutator::Mutator;

/// Files of a corpus: each must earn its place.
const FILES_MAX: usize = 60;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = fuzz_folder().join("corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!((1..=FILES_MAX).contains(&paths.len()), "{} files in {}", paths.len(), folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().unwrap())
}

fn run(name: &str, runs: u64) {
    let target: Target = ALL.iter().find(|(own, _)| *own == name).unwrap().1;
    let corpus = corpus(name);
    corpus.iter().for_each(|data| attempt(name, target, data));
    let mut mutator = Mutator::new(number("GROAT_FUZZ_SEED", 402), corpus);
    for _ in 0..runs * number("GROAT_FUZZ_RUNS", 1) {
        attempt(name, target, &mutator.next());
    }
}

fn attempt(name: &str, target: Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(data))) {
        eprintln!("printf '{}' > fuzz/corpus/{name}/found", printf(data));
        std::panic::resume_unwind(panic);
    }
}

fn printf(data: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b'%' => "%%".to_owned(),
        b'\\' | b'\'' => format!("\\{byte:03o}"),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\{other:03o}"),
    };
    data.iter().map(shown).collect()
}

#[test]
fn what_facilitators_and_sellers_answer_is_bounded_and_never_more_than_they_said() {
    run("answers", 4_000);
}

#[test]
fn a_challenge_is_bounded_and_only_what_the_policy_allows_is_chosen() {
    run("challenge", 1_500);
}

#[test]
fn a_configuration_is_good_or_its_mistake_has_a_line() {
    run("config", 1_500);
}

#[test]
fn only_what_the_standards_call_good_is_accepted() {
    run("exact", 4_000);
}

#[test]
fn the_service_answers_with_a_reason_and_money_moves_once_or_not() {
    run("facilitator", 150);
}

#[test]
fn h11_unsuspected_heads_have_one_reading() {
    run("framing", 10_000);
}

#[test]
fn m01_m02_prices_are_exact() {
    run("money", 6_000);
}

#[test]
fn r21_a_hash_in_another_spelling_is_the_same_payment() {
    run("agentxpay", 5_000);
}

#[test]
fn r05_a_payment_of_mpp_has_one_text_and_its_number_follows_from_the_challenge() {
    run("mpp", 4_000);
    // Made by another implementation, so that not everything is refused.
    let json = std::fs::read(fuzz_folder().join("corpus/mpp/credential")).unwrap();
    let value = format!("Payment {}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json));
    let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())]);
    assert!(groat_wire::Dialects::standard().read_payment(&headers).unwrap().is_some());
}

#[test]
fn one_chain_has_one_name() {
    run("network", 20_000);
}

#[test]
fn t01_t02_only_what_was_signed_is_a_pass() {
    run("pass", 5_000);
    // Signed by another library, so that not everything is refused.
    let token = String::from_utf8(std::fs::read(fuzz_folder().join("corpus/pass/genuine")).unwrap()).unwrap();
    let key = groat_wire::pass::PassKey::from_seed(&[1; 32]).unwrap();
    assert!(key.read(&token, "https://shop.example", groat_core::Timestamp(1_000_000)).is_ok());
}

#[test]
fn h14_no_spelling_of_a_priced_path_is_free() {
    run("path", 3_000);
}

#[test]
fn r05_a_payment_in_another_spelling_is_the_same_payment() {
    run("payment", 1_500);
}

#[test]
fn e09_a_transfer_pays_one_authorization() {
    run("receipts", 10_000);
}

#[test]
fn an_order_is_read_as_it_was_signed_and_a_token_is_shown_to_nobody() {
    run("token_order", 3_000);
}

#[test]
fn t13_a_402_of_the_token_dialect_leads_to_no_other_host() {
    run("token_challenge", 3_000);
}

#[test]
fn t01_t09_a_proof_has_one_reading() {
    run("proof", 3_000);
    // Signed by another library.
    let field = std::fs::read_to_string(fuzz_folder().join("corpus/proof/sample")).unwrap();
    assert!(groat_wire::want_pay::pay_header::parse(&field).is_ok());
}

#[test]
fn a_payment_request_keeps_the_rules_or_is_none() {
    run("request", 1_500);
}

#[test]
fn a_wish_is_written_as_it_is_read() {
    run("want_pay", 10_000);
}

#[test]
fn every_target_has_a_main_and_a_place_in_the_manifest() {
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for (name, _) in ALL {
        let main = std::fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(main.contains(&format!("{name}::target")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
