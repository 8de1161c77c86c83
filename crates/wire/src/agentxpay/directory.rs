//! `GET /api/services`: what a provider sells, for programs that know its address and no registry.

use serde_json::{Value, json};

use super::{SCHEME, service_number};
use crate::Sold;

/// Where it lies.
pub const PATH: &str = "/api/services";

pub(super) fn write(sold: &[Sold<'_>]) -> Option<(&'static str, Value)> {
    let services: Vec<Value> = sold
        .iter()
        .filter(|sold| sold.offer.scheme == SCHEME)
        .filter_map(|sold| {
            let service = sold.offer.extra.get("serviceId")?.as_str()?;
            Some(json!({
                "path": sold.path,
                "method": sold.method,
                "serviceId": service_number(service),
                "price": sold.offer.amount,
                "token": sold.offer.asset,
            }))
        })
        .collect();
    (!services.is_empty()).then(|| (PATH, json!({ "services": services })))
}
