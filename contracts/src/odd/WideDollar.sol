// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PlainDollar} from "./PlainDollar.sol";

/// @title A dollar with 18 decimals, as on BNB Chain: no permit, no authorization, no hook.
contract WideDollar is PlainDollar {
    function symbol() public pure override returns (string memory) {
        return "WIDE";
    }

    function decimals() external pure override returns (uint8) {
        return 18;
    }
}
