//! The same bits, whatever runs and however images are put together.

use crate::common::bits::assert_same_bits;
use crate::common::contexts;
use crate::common::families::networks;

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    let cases = contexts();
    for network in networks() {
        assert_same_bits(&cases, &format!("{:?}", network.config), 6, |loader| {
            network.load(loader)
        });
    }
}
