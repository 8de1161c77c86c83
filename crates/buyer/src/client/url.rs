//! What a URL says about who would be paid, and who could listen.

use std::net::Ipv4Addr;

use url::{Host, Url};

/// Host, and port where the URL names one: as payees are remembered.
pub(super) fn host(url: &Url) -> String {
    let host = name(url);
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The host without the dot that a name may end in: the same host with and without it.
fn name(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_end_matches('.')
}

/// Whether nobody on the way can read or change what is sent (threat row Y15).
pub(super) fn private_way(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

/// Whether the two URLs are at the same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Whether a challenge that names `named` can be one of the host that was `asked` (threat row B12).
pub(super) fn same_shop(asked: &Url, named: &Url) -> bool {
    // Nobody can have a name under `.invalid` (RFC 6761): sellers write one where the protocol wants any.
    let nobody = name(named).is_empty() || name(named).ends_with(".invalid");
    nobody || name(named) == name(asked) || (is_loopback(asked) && is_loopback(named))
}

/// Whether the service that a payment is `made_out` to is the one that was `asked`: the same host and port. A proxy in front may
/// have another scheme.
pub(super) fn same_service(asked: &Url, made_out: &Url) -> bool {
    let same_name = name(made_out) == name(asked) || (is_loopback(asked) && is_loopback(made_out));
    same_name && !name(asked).is_empty() && asked.port_or_known_default() == made_out.port_or_known_default()
}

/// Whether a redirect leads from the open net into this machine or its neighbourhood (threat row Y16).
pub(super) fn leads_inside(from: &Url, to: &Url) -> bool {
    !is_inside(from) && is_inside(to)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) => name(url) == "localhost" || name(url).ends_with(".localhost"),
        None => false,
    }
}

fn is_inside(url: &Url) -> bool {
    let private = match url.host() {
        Some(Host::Ipv4(address)) => is_inside_v4(address),
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => is_inside_v4(mapped),
            None => address.is_unique_local() || address.is_unicast_link_local() || address.is_unspecified(),
        },
        _ => false,
    };
    private || is_loopback(url)
}

/// This machine, this network, the provider's network (RFC 1122, 1918, 3927, 6598).
fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    first == 0 || is_shared || address.is_loopback() || address.is_private() || address.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn y15_only_https_and_this_machine_are_private_ways() {
        for private in
            ["https://shop.example/", "http://127.9.9.9/", "http://[::1]:80/", "http://localhost:4020/"]
        {
            assert!(private_way(&url(private)), "{private}");
        }
        for open in [
            "http://shop.example/",
            "http://localhost.shop.example/",
            "http://192.168.0.1/",
            "http://0.0.0.0/",
        ] {
            assert!(!private_way(&url(open)), "{open}");
        }
    }

    #[test]
    fn b12_a_challenge_is_about_the_host_that_was_asked() {
        let asked = url("https://shop.example/x");
        assert!(same_shop(&asked, &url("https://shop.example:8443/y")));
        assert!(same_shop(&asked, &url("https://resource.invalid/")));
        assert!(same_shop(&asked, &url("https://shop.example./y")));
        assert!(!same_shop(&asked, &url("https://api.shop.example/")));
        assert!(!same_shop(&asked, &url("http://127.0.0.1/")));
        assert!(same_shop(&url("http://127.0.0.1:4020/x"), &url("http://localhost:4020/x")));
    }

    #[test]
    fn b12_a_payment_is_made_out_to_whoever_was_asked() {
        let asked = url("https://shop.example/x");
        assert!(same_service(&asked, &url("https://shop.example/token")));
        assert!(same_service(&url("http://127.0.0.1:4021/x"), &url("http://localhost:4021/token")));
        for other in [
            "https://other.example/token",
            "https://shop.example:8443/token",
            "https://api.shop.example/token",
            "https://shop.invalid/token",
            "http://127.0.0.1/token",
        ] {
            assert!(!same_service(&asked, &url(other)), "{other}");
        }
        assert!(!same_service(&url("http://127.0.0.1:4021/x"), &url("http://127.0.0.1:4022/token")));
    }

    #[test]
    fn y16_a_redirect_from_the_open_net_does_not_lead_inside() {
        let from = url("https://shop.example/");
        for inside in [
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://localhost/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fd00::1]/",
        ] {
            assert!(leads_inside(&from, &url(inside)), "{inside}");
            assert!(!leads_inside(&url("http://127.0.0.1/"), &url(inside)), "{inside}");
        }
        assert!(!leads_inside(&from, &url("https://other.example/")));
    }
}
