//! A door for the fuzz targets (`fuzz/`): a challenge weighed without an HTTP exchange. Nothing else may use it.

use ::url::Url;
use http::HeaderMap;

use super::{BuyError, Client, Plan};

/// What a 402 with these header fields and this body would cost; `None` when it is no challenge.
pub async fn plan(
    client: &Client,
    url: &Url,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Plan>, BuyError> {
    let Some((dialect, challenge)) = client.buyer.dialects.read_challenge(headers, body)? else {
        return Ok(None);
    };
    let view = client.look(&mut *client.past.lock().await, None).await?;
    client.weigh(&view, url, &dialect, &challenge).map(Some)
}
