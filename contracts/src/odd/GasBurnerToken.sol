// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Eip3009Token} from "../Eip3009Token.sol";

/// @title A token whose transferWithAuthorization burns all the gas that it is given, and fails.
contract GasBurnerToken is Eip3009Token {
    function symbol() public pure override returns (string memory) {
        return "BURN";
    }

    function _pay(address, address, uint256, uint256, uint256, bytes32, bytes memory) internal pure override {
        assembly ("memory-safe") {
            invalid()
        }
    }
}
