//! Doors for the fuzz targets (`fuzz/`): how a gateway reads a path. Nothing else may use them.

use crate::canonical;
use crate::proxy::Pattern;

/// The path that is matched and forwarded; `None` for one that is refused.
pub fn canonical_path(raw: &str) -> Option<String> {
    canonical::path(raw).ok()
}

/// Whether a rule is about a canonical path.
pub fn matches(pattern: &Pattern, canonical_path: &str) -> bool {
    pattern.matches(&canonical::decoded(canonical_path))
}
