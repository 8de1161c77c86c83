//! What passes opened, and how they came about.

use groat_core::Timestamp;
use groat_seller::PassKey;

use super::Evidence;
use crate::notebook::Run;
use crate::shop::{ORIGIN, PASS_SEED};

pub(super) fn check(evidence: &Evidence<'_>) {
    let stage = &evidence.world.stage;
    let Ok(key) = PassKey::from_seed(&PASS_SEED) else {
        return stage.broken("passes can be read", "no key".to_owned());
    };
    let runs = evidence.world.notebook.pass_runs();
    let given = evidence.world.notebook.passes();
    for (id, passes) in &given {
        if passes.len() > 1 {
            stage.broken("one payment, one pass", format!("{id} {passes:?}"));
        }
    }
    for run in &runs {
        let text = format!("{} of {}", run.route.path(), run.pass);
        let Some(pass) = given.get(&run.pass).and_then(|passes| passes.first()) else {
            stage.broken("nobody is let in by a pass that was not given", text);
            continue;
        };
        // As of the moment when the request came: what was over by then let nobody in.
        let Ok(pass) = key.read(pass, ORIGIN, Timestamp(run.arrived_s)) else {
            stage.broken("a pass is good in its time", text);
            continue;
        };
        if pass.scope != run.route.scope() {
            stage.broken("a pass opens what it was bought for", text.clone());
        }
        let counted =
            runs.iter().filter(|other| other.pass == run.pass && other.run == Run::Answered(200)).count();
        if pass.uses.is_some_and(|uses| counted > uses as usize) {
            stage.broken("a pass is good for its uses", format!("{text}: {counted}"));
        }
    }
}
