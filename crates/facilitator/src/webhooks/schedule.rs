//! When a delivery is tried again.

use groat_core::ports::Random;

/// Seconds from each try to the next; the first is at once. Ten tries, a good three days.
const STEPS_S: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The longest wait that a receiver can ask for.
const RETRY_AFTER_S_MAX: u64 = 86_400;

/// How many tries there are.
pub const TRIES_MAX: u32 = 10;

/// Seconds until the next try, when so many have failed; `None` when that was the last. Up to a tenth more, so that
/// what failed together is not tried together; and not before the receiver wants to be asked, within reason.
pub(super) fn after(failed: u32, retry_after_s: Option<u64>, random: &dyn Random) -> Option<u64> {
    let index = usize::try_from(failed.checked_sub(1)?).ok()?;
    let step = *STEPS_S.get(index)?;
    let mut bytes = [0; 8];
    // Without randomness it is tried on time.
    let jitter = random.fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes) % (step / 10 + 1));
    Some((step + jitter).max(retry_after_s.unwrap_or_default().min(RETRY_AFTER_S_MAX)))
}

#[cfg(test)]
mod tests {
    use groat_core::Fault;

    use super::*;

    fn always(byte: u8) -> impl Random {
        move |bytes: &mut [u8]| {
            bytes.fill(byte);
            Ok(())
        }
    }

    #[test]
    fn t19_ten_tries_in_three_days_each_up_to_a_tenth_late() {
        let steps =
            |random: &dyn Random| (1..=TRIES_MAX).map_while(|n| after(n, None, random)).collect::<Vec<_>>();
        let plain = steps(&always(0));
        assert_eq!(plain, STEPS_S);
        assert_eq!(after(TRIES_MAX, None, &always(0)), None);
        let mut moved = 0;
        for byte in 0..=255 {
            for (late, plain) in steps(&always(byte)).into_iter().zip(&plain) {
                assert!((*plain..=plain + plain / 10).contains(&late), "{late} {plain}");
                moved += usize::from(late != *plain);
            }
        }
        assert!(moved > 1_000, "{moved}");
        let none = |_: &mut [u8]| Err(Fault::unavailable("randomness", "none"));
        assert_eq!(steps(&none), STEPS_S);
    }

    #[test]
    fn a_receiver_may_ask_for_time_but_for_no_more_than_a_day_and_for_no_more_tries() {
        let wait = |failed, asked| after(failed, Some(asked), &always(0));
        assert_eq!(wait(1, 120), Some(120));
        assert_eq!(wait(2, 120), Some(300), "the schedule is the least");
        assert_eq!(wait(1, u64::MAX), Some(86_400));
        assert_eq!(wait(TRIES_MAX, 1), None);
    }
}
