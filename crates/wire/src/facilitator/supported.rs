//! What a facilitator can do (x402 `SupportedResponse`).

use groat_core::Network;
use groat_core::ports::{Kind, Supported};
use serde_json::{Value, json};

use super::BODY_SIZE_BYTES_MAX;
use crate::members::Members;
use crate::{Version, WireError, json as strict};

const PLACE: &str = "supported response";

/// The body. Version 1 kinds name their network as version 1 does.
pub fn write_supported(supported: &Supported) -> Value {
    let kind = |kind: &Kind| {
        let network = match Version::from_number(kind.version.into()) {
            Some(version) => version.network(&kind.network),
            None => kind.network.as_str(),
        };
        let mut entry = json!({
            "x402Version": kind.version,
            "scheme": kind.scheme,
            "network": network,
        });
        if !kind.extra.is_empty() {
            entry["extra"] = Value::Object(kind.extra.clone());
        }
        entry
    };
    json!({
        "kinds": supported.kinds.iter().map(kind).collect::<Vec<_>>(),
        "extensions": supported.extensions,
        "signers": supported.signers,
    })
}

/// Reads a body. Kinds that are not of our world (another version, an unknown kind of network) are left out.
pub fn read_supported(bytes: &[u8]) -> Result<Supported, WireError> {
    let value = strict::parse(bytes, PLACE, BODY_SIZE_BYTES_MAX)?;
    let members = Members::of(&value, PLACE)?;
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let signers = members.object_or_empty("signers")?;
    Ok(Supported {
        kinds: members.array("kinds")?.iter().filter_map(read_kind).collect(),
        extensions: members.value("extensions").map(texts).unwrap_or_default(),
        signers: signers.iter().map(|(family, accounts)| (family.clone(), texts(accounts))).collect(),
    })
}

fn read_kind(value: &Value) -> Option<Kind> {
    let members = Members::of(value, PLACE).ok()?;
    Some(Kind {
        version: Version::from_number(members.value("x402Version")?.as_u64()?)?.number(),
        scheme: members.word("scheme").ok()?.to_owned(),
        network: Network::parse(members.text("network").ok()?).ok()?,
        extra: members.object_or_empty("extra").ok()?,
    })
}
