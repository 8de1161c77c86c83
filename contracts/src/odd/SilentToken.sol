// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Eip3009Token} from "../Eip3009Token.sol";

/// @title A token that says nothing about a nonce that is used: no event, no revert, and nothing moves.
contract SilentToken is Eip3009Token {
    function symbol() public pure override returns (string memory) {
        return "SILENT";
    }

    function _pay(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) internal override {
        if (used[from][nonce]) return;
        super._pay(from, to, value, validAfter, validBefore, nonce, signature);
    }
}
