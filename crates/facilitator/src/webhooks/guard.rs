//! Where webhooks may be sent (threat row T18): never to what only this machine can reach.
//!
//! A URL is somebody else's wish. The name in it is looked up when it is connected to, and the address that was checked
//! is the one that is connected to: what another lookup says later does not count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Longest URL.
pub(super) const URL_BYTES_MAX: usize = 2_048;
/// Ports of receivers on the open internet. Any other is more likely a service that did not ask for this.
const PORTS: [u16; 2] = [443, 8443];

/// What is allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// Also addresses of this machine and of private networks, there also without TLS; and any port. Never those of a
    /// cloud's metadata.
    pub allow_private: bool,
}

/// Why nothing is sent to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It cannot be read, or is too long.
    #[error("write it as https://host/path, in at most 2048 bytes")]
    Url,
    /// Another scheme, or no TLS.
    #[error("it has to begin with https://")]
    Scheme,
    /// A user or a password.
    #[error("it must not name a user or a password: the signature says who sends")]
    User,
    /// A port that is not allowed.
    #[error("its port has to be 443 or 8443")]
    Port,
    /// An address that is not on the open internet.
    #[error(
        "its address is not on the open internet; the operator can allow private ones (webhooks_allow_private)"
    )]
    Address,
    /// Not known anywhere.
    #[error("its name leads to no address")]
    Name,
}

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Never,
}

/// Addresses of cloud metadata and of machines' control services that lie outside the link-local range.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

fn reach(address: IpAddr) -> Reach {
    if METADATA.contains(&address) {
        return Reach::Never;
    }
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // This network, link-local, protocol assignments and 6to4, benchmarks, documentation, multicast, reserved.
        [0, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Reach::Never,
        [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => Reach::Never,
        // Private, this machine, shared by customers of a provider (CGNAT).
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let end = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // An IPv4 address in other clothes: mapped, and as networks without IPv4 write it (NAT64).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => end(high, low),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo and other assignments, documentation, 6to4: an address within an address.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => {
            Reach::Never
        }
        [0x2000..=0x3fff, ..] => Reach::Public,
        // Unspecified, link-local, site-local, multicast, and whatever nobody has given out.
        _ => Reach::Never,
    }
}

impl Guard {
    /// What can be said of a URL before its name is looked up.
    pub fn url(self, text: &str) -> Result<Url, Denied> {
        if text.len() > URL_BYTES_MAX || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Denied::Url);
        }
        let url = Url::parse(text).map_err(|_| Denied::Url)?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" if self.allow_private => true,
            _ => return Err(Denied::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') && has_user(text) {
            return Err(Denied::User);
        }
        let address = match url.host().ok_or(Denied::Url)? {
            Host::Domain("") => return Err(Denied::Url),
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        match url.port_or_known_default() {
            Some(port) if PORTS.contains(&port) => {}
            Some(1..) if self.allow_private => {}
            _ => return Err(Denied::Port),
        }
        address.map_or(Ok(()), |address| self.address(address, is_plain))?;
        Ok(url)
    }

    /// Whether an address may be connected to; without TLS only a private one.
    fn address(self, address: IpAddr, is_plain: bool) -> Result<(), Denied> {
        match reach(address) {
            Reach::Public if !is_plain => Ok(()),
            Reach::Public => Err(Denied::Scheme),
            Reach::Private if self.allow_private => Ok(()),
            Reach::Private | Reach::Never => Err(Denied::Address),
        }
    }
}

/// Whether an authority has an empty user, which a parsed URL does not show.
fn has_user(text: &str) -> bool {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches(['/', '\\']);
    rest.split(['/', '\\', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// What knows the addresses of names.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of a name.
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The resolver of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// What an HTTP client asks for the addresses that it connects to.
pub(super) struct Pinned {
    pub(super) guard: Guard,
    pub(super) is_plain: bool,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Pinned {
    /// All addresses of a name, when all of them are allowed: one that is not says whose name it is.
    async fn addresses(self, name: String) -> Result<Vec<IpAddr>, Denied> {
        let found = self.lookup.look_up(&name).await.map_err(|_| Denied::Name)?;
        found.iter().try_for_each(|address| self.guard.address(*address, self.is_plain))?;
        if found.is_empty() { Err(Denied::Name) } else { Ok(found) }
    }
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, is_plain, lookup) = (self.guard, self.is_plain, Arc::clone(&self.lookup));
        Box::pin(async move {
            let found = Self { guard, is_plain, lookup }.addresses(name.as_str().to_owned()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Guard = Guard { allow_private: false };
    const LAX: Guard = Guard { allow_private: true };

    #[test]
    fn t18_only_https_on_its_ports_and_no_user() {
        for good in [
            "https://shop.example/hook?a=b",
            "https://shop.example:8443/",
            "https://1.1.1.1/",
            "HTTPS://EXAMPLE.COM",
        ] {
            assert!(STRICT.url(good).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("", Denied::Url),
            ("shop.example/hook", Denied::Url),
            ("https://", Denied::Url),
            ("https://sh op.example/", Denied::Url),
            ("https://shop.example/\n", Denied::Url),
            ("http://shop.example/", Denied::Scheme),
            ("ftp://shop.example/", Denied::Scheme),
            ("file:///etc/passwd", Denied::Scheme),
            ("gopher://shop.example/", Denied::Scheme),
            ("https://ann@shop.example/", Denied::User),
            ("https://ann:secret@shop.example/", Denied::User),
            ("https://@shop.example/", Denied::User),
            ("https://1.1.1.1@127.0.0.1/", Denied::User),
            ("https://shop.example:22/", Denied::Port),
            ("https://shop.example:80/", Denied::Port),
            ("https://shop.example:6379/", Denied::Port),
        ] {
            assert_eq!(STRICT.url(wrong).err(), Some(why), "{wrong}");
        }
        assert_eq!(STRICT.url(&format!("https://a.example/{}", "a".repeat(2_048))).err(), Some(Denied::Url));
        // An @ behind the host is no user.
        assert!(STRICT.url("https://shop.example/@ann?to=a@b").is_ok());
    }

    #[test]
    fn t18_no_spelling_of_an_inner_address_is_let_through() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:10.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
        ] {
            assert_eq!(STRICT.url(&format!("https://{host}/")).err(), Some(Denied::Address), "{host}");
        }
        for public in
            ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "[2606:4700::1111]"]
        {
            assert!(STRICT.url(&format!("https://{public}/")).is_ok(), "{public}");
        }
        assert!(STRICT.url("https://[64:ff9b::808:808]/").is_ok(), "the open internet, through NAT64");
    }

    #[test]
    fn t18_with_private_addresses_allowed_metadata_is_not_and_the_internet_needs_tls() {
        for good in
            ["http://127.0.0.1:3000/", "https://10.0.0.1:9000/", "http://[::1]:1/", "http://shop.internal/"]
        {
            assert!(LAX.url(good).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("http://169.254.169.254/", Denied::Address),
            ("http://[fe80::1]/", Denied::Address),
            ("http://100.100.100.200/", Denied::Address),
            ("http://[fd00:ec2::254]/", Denied::Address),
            ("http://[::ffff:169.254.169.254]/", Denied::Address),
            ("http://224.0.0.1/", Denied::Address),
            ("http://0.0.0.0/", Denied::Address),
            ("http://8.8.8.8/", Denied::Scheme),
            ("http://127.0.0.1:0/", Denied::Port),
        ] {
            assert_eq!(LAX.url(wrong).err(), Some(why), "{wrong}");
        }
    }

    struct Says(Vec<IpAddr>);

    #[async_trait]
    impl Lookup for Says {
        async fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    #[tokio::test]
    async fn t18_a_name_with_one_inner_address_among_good_ones_is_refused() {
        let addresses = async |guard, is_plain, said: &[&str]| {
            let lookup = Arc::new(Says(said.iter().map(|address| address.parse().unwrap()).collect()));
            Pinned { guard, is_plain, lookup }.addresses("shop.example".into()).await
        };
        assert_eq!(addresses(STRICT, false, &["8.8.8.8", "2606:4700::1111"]).await.unwrap().len(), 2);
        assert_eq!(addresses(STRICT, false, &["8.8.8.8", "127.0.0.1"]).await, Err(Denied::Address));
        assert_eq!(addresses(STRICT, false, &["fd00::1"]).await, Err(Denied::Address));
        assert_eq!(addresses(STRICT, false, &[]).await, Err(Denied::Name));
        assert!(addresses(LAX, true, &["10.0.0.1", "::1"]).await.is_ok());
        assert_eq!(addresses(LAX, true, &["10.0.0.1", "8.8.8.8"]).await, Err(Denied::Scheme));
        assert_eq!(addresses(LAX, false, &["169.254.169.254"]).await, Err(Denied::Address));
    }
}
