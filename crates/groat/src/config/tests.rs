//! Every mistake in the file is one sentence that names file, line, what and how to mend.

use super::*;

fn mistake(text: &str) -> String {
    let folder = std::env::temp_dir().join(format!(
        "groat-config-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("groat.toml");
    std::fs::write(&path, text).unwrap();
    let message = Config::read(&path).map(|_| ()).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    message.replace(&folder.display().to_string(), "")
}

#[test]
fn m02_m03_m09_a_mistake_names_file_line_what_and_how_to_mend() {
    let digest = "ab".repeat(32);
    let min_price = |units: &str| {
        let least =
            format!("{{ asset = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\", units = \"{units}\" }}");
        format!("[[chain]]\nnetwork = \"base\"\nrpc = \"http://x\"\nmin_prices = [{least}]\n")
    };
    let service = |more: &str| {
        let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let known = format!("manager = \"{account}\", service = 1, provider = \"{account}\"");
        format!("[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nagentxpay = {{ {known}, {more} }}\n")
    };
    let permit = |more: &str| {
        let asset = "asset = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"";
        format!("[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\npermits = [{{ {asset}, {more} }}]\n")
    };
    let api_key = |sha256: &str, more: &str| {
        format!("[[facilitator.api_keys]]\nname = \"shop\"\nsha256 = \"{sha256}\"\n{more}")
    };
    for (text, start, part) in [
        ("[gate]\nupstraem = \"http://x\"\n", "/groat.toml:2: ", "unknown field `upstraem`"),
        ("[gate]\npay_to = \"0x12\"\n", "/groat.toml:2: ", "`0x12` is not an account; write 0x"),
        ("[gate]\nnetwork = \"bse\"\n", "/groat.toml:2: ", "`bse` is not a network; write a CAIP-2"),
        ("[gate]\nupstream = \"localhost:3000\"\n", "/groat.toml:2: ", "is not a URL; write http"),
        ("\n[[gate.route]]\nmatch = \"/a\"\nprice = \"0,01\"\n", "/groat.toml:4: ", "is not a price"),
        ("[[gate.route]]\nmatch = \"/a\"\nprice = 0.01\n", "/groat.toml:3: ", "expected a string"),
        ("[[gate.route]]\nmatch = \"/a\"\nprice = \"1e-7\"\n", "/groat.toml:3: ", "is not a price"),
        (
            "[gate]\ntoken_format = \"x402-mock\"\n",
            "/groat.toml:2: ",
            "need the key that is shared; name the file",
        ),
        ("[gate]\ntoken_format = \"paseto\"\n", "/groat.toml:2: ", "unknown variant `paseto`"),
        (
            "[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nforeign_tokens = true\n",
            "/groat.toml:4: ",
            "need the key that is shared",
        ),
        ("[gate]\nconfirmations = 0\n", "/groat.toml:2: ", "write 1 to 1000, \"safe\" or"),
        (&service("price_wei = \"0\""), "/groat.toml:4: ", "`0` is not a price in wei; write it like"),
        (
            &service("price_wei = \"1\", payer = \"on\""),
            "/groat.toml:4: ",
            "`on` is not known here; write one",
        ),
        (
            &service("price_wei = \"1\", subscription = \"signed\""),
            "/groat.toml:4: ",
            "nobody can be asked who has subscribed",
        ),
        (
            &permit("kind = \"Permit1\", amount = \"1\""),
            "/groat.toml:4: ",
            "write \"Permit2\" or \"EIP2612\"",
        ),
        (&permit("kind = \"Permit2\", amount = \"0\""), "/groat.toml:4: ", "`0` is not an amount in units"),
        (&permit("kind = \"Permit2\", amount = \"1\""), "/groat.toml:4: ", "a permit buys a pass"),
        (
            "[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nconfirmations = \"final\"\n",
            "/groat.toml:4: ",
            "`final` is no number of confirmations",
        ),
        ("[gate\n", "/groat.toml:1: ", ""),
        (
            "[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\ntimeout_s = 0\n",
            "/groat.toml:4: ",
            "nobody can pay",
        ),
        ("[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\nsettle = \"now\"\n", "/groat.toml:4: ", "`now`"),
        (
            "[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\npay_to = \"0x1\"\n",
            "/groat.toml:4: ",
            "not an account",
        ),
        ("[gate]\nnetwork = \"\\u001b[2J\\nb\"\n", "/groat.toml:2: ", "` [2J b` is not a network"),
        ("[[chain]]\nrpc = \"http://x\"\n", "/groat.toml:1: ", "missing field `network`"),
        (
            "[[chain]]\nnetwork = \"base\"\nrpc = \"http://x\"\npay_contract = \"0x1\"\n",
            "/groat.toml:4: ",
            "`0x1` is not an account",
        ),
        (&min_price("1e3"), "/groat.toml:4: ", "`1e3` is not a number of atomic units; write it like"),
        (&min_price("$0.01"), "/groat.toml:4: ", "`$0.01` is not a number of atomic units"),
        (&api_key("groat_secret", ""), "/groat.toml:3: ", "not the SHA-256 of an API key; paste the block"),
        (&api_key(&digest, "gas_per_day = 99999\n"), "/groat.toml:4: ", "write 100000 or more"),
        (&api_key(&digest, "pay_to = [\"0x12\"]\n"), "/groat.toml:4: ", "`0x12` is not an account"),
        (&api_key(&digest, &api_key(&"cd".repeat(32), "")), "/groat.toml:5: ", "two API keys are the same"),
    ] {
        let message = mistake(text);
        assert!(message.starts_with(start) && message.contains(part), "{message}");
        assert!(!message.contains('\n') && !message.contains("secret"), "{message}");
    }
}
