//! Where the secret of a seller lies that signs passes and marks requests of payments: a file of 64 hexadecimal digits that only
//! its owner may read. And where the key lies that is shared with servers of `x402-mock`.

use std::path::Path;

use alloy_primitives::hex;
use anyhow::{Context, bail};
use groat_buyer::keystore;
use groat_seller::SharedKey;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::config::Source;
use crate::paths::{DataDir, write_private};

/// The file in the data directory.
const FILE: &str = "pass.key";

/// 32 bytes that keys are made of.
pub(crate) type Seed = Zeroizing<[u8; 32]>;

/// The secret of the configured file, else that of the data directory, which is made when it is missing. Gates that share
/// their books must share the key as well, so there it has to be named.
pub(crate) fn open(
    configured: Option<&Spanned<String>>,
    source: Option<&Source>,
    data: &DataDir,
    is_shared: bool,
) -> anyhow::Result<Seed> {
    if let (Some(path), Some(source)) = (configured, source) {
        let file = source.beside(Path::new(path.get_ref()));
        let mend = "make one with `openssl rand -hex 32`, readable by its owner only (chmod 600)";
        return read(&file).map_err(|error| source.wrong(Some(path.span()), &format!("{error:#}"), mend));
    }
    if is_shared {
        bail!(
            "passes and requests of gates on one database need one key: write `openssl rand -hex 32` into a file, give it to every gate, \
             and name it with pass_key under [gate]"
        );
    }
    let file = data.file(FILE)?;
    if !file.exists() {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).context("the machine gives no randomness")?;
        write_private(&file, &Zeroizing::new(hex::encode(*seed)))?;
    }
    read(&file).with_context(|| file.display().to_string())
}

/// The key that is shared with servers of `x402-mock`: a text in a file that only its owner may read.
pub(crate) fn shared(configured: &Spanned<String>, source: &Source) -> anyhow::Result<SharedKey> {
    let file = source.beside(Path::new(configured.get_ref()));
    let read = || {
        keystore::private(&file)?;
        let text = Zeroizing::new(std::fs::read_to_string(&file)?);
        Ok::<_, anyhow::Error>(SharedKey::new(text.trim())?)
    };
    let mend = "write the private_key of the other server into it, readable by its owner only (chmod 600)";
    read().map_err(|error| source.wrong(Some(configured.span()), &format!("{error:#}"), mend))
}

fn read(file: &Path) -> anyhow::Result<Seed> {
    keystore::private(file)?;
    let text = Zeroizing::new(std::fs::read_to_string(file)?);
    let mut seed = Zeroizing::new([0; 32]);
    // The error would quote what it found.
    if hex::decode_to_slice(text.trim(), &mut *seed).is_err() {
        bail!("a key for passes is 64 hexadecimal digits");
    }
    Ok(seed)
}
