// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IErc20} from "./Interfaces.sol";

error TransferFailed(address token);

// Moves what this contract holds, also of a token that returns nothing.
function push(address token, address to, uint256 value) {
    _call(token, abi.encodeCall(IErc20.transfer, (to, value)));
}

// Moves what an account allowed this contract to take, also of a token that returns nothing.
function pull(address token, address from, address to, uint256 value) {
    _call(token, abi.encodeCall(IErc20.transferFrom, (from, to, value)));
}

// A token that says no, in whatever way, ends the payment; its own words are passed on.
function _call(address token, bytes memory data) {
    (bool done, bytes memory answer) = token.call(data);
    if (!done && answer.length > 0) {
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
    bool yes = answer.length == 0
        ? token.code.length > 0
        : answer.length >= 32 && abi.decode(answer, (uint256)) == 1;
    if (!done || !yes) revert TransferFailed(token);
}
