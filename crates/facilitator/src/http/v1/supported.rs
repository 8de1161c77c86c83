//! `GET /v1/supported`: which contract on which chain, and what it takes. Open to everybody, because buyers ask.

use axum::extract::State;
use axum::http::StatusCode;
use groat_wire::want_pay::chain_name;
use serde_json::json;

use super::reply::Reply;
use crate::http::Service;

pub(super) async fn supported(State(service): State<Service>) -> Result<Reply, Reply> {
    let Some(v1) = &service.v1 else {
        return Err(Reply::problem(StatusCode::NOT_FOUND, "not_found", "no contract is set up here"));
    };
    let (mut chains, mut trouble) = (Vec::new(), None);
    for (network, contract) in v1.requests().chain().contracts() {
        let currencies = match v1.currencies(&network).await {
            Ok(currencies) => currencies,
            // The others are as good as before.
            Err(fault) => {
                trouble = Some(fault);
                continue;
            }
        };
        let currencies = currencies.into_iter().map(|currency| {
            json!({
                "symbol": currency.symbol,
                "token": currency.token,
                "decimals": currency.decimals,
                "methods": currency.methods,
            })
        });
        chains.push(json!({
            "chain": chain_name(&network),
            "network": network,
            "contract": contract,
            "currencies": currencies.collect::<Vec<_>>(),
        }));
    }
    match trouble {
        Some(fault) if chains.is_empty() => Err(Reply::fault(&fault)),
        _ => Ok(Reply::ok(json!({ "chains": chains }))),
    }
}
