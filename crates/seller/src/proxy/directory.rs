//! Pages that list what is sold here, in the words of dialects that have such a page.

use std::sync::Arc;

use groat_core::Offer;
use groat_wire::{Dialects, Sold};
use http::{Method, StatusCode};

use super::Pattern;
use crate::gate::Reply;
use crate::route::{Pricing, Route};

/// Routes and their offers, while a gateway is made.
#[derive(Default)]
pub(super) struct Sales(Vec<(String, String, Offer)>);

impl Sales {
    pub(super) fn add(&mut self, pattern: &Pattern, route: &Route) {
        // What a price function says is said in a 402.
        let Pricing::Fixed(offers) = &route.pricing else { return };
        let (method, path) = pattern.parts();
        self.0.extend(offers.iter().map(|offer| (method.to_owned(), path.to_owned(), offer.clone())));
    }

    pub(super) fn directories(&self, dialects: &Dialects) -> Directories {
        let sold: Vec<Sold<'_>> =
            self.0.iter().map(|(method, path, offer)| Sold { method, path, offer }).collect();
        let pages = dialects.directories(&sold).into_iter();
        Directories(pages.map(|(path, body)| (path, Reply::json(StatusCode::OK, &body))).collect())
    }
}

/// The pages.
#[derive(Clone)]
pub(super) struct Directories(Arc<[(&'static str, Reply)]>);

impl Directories {
    /// The page that a request is for.
    pub(super) fn find(&self, path: &str, method: &Method) -> Option<&Reply> {
        let page = self.0.iter().find(|(own, _)| *own == path && *method == Method::GET);
        page.map(|(_, reply)| reply)
    }
}
