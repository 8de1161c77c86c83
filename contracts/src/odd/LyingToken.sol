// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Eip3009Token} from "../Eip3009Token.sol";

/// @title A token that takes the authorization, says so in its event, and moves nothing.
contract LyingToken is Eip3009Token {
    function symbol() public pure override returns (string memory) {
        return "LIE";
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
        _checkTime(from, validAfter, validBefore, nonce);
        bytes32 message = keccak256(
            abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
        );
        _checkSignature(from, message, signature);
        _use(from, nonce);
    }
}
