// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Sends the native coin.
abstract contract Coins {
    error TransferFailed(address to, uint256 amount);
    error ZeroAmount();

    /// @dev The last thing that a function does: the receiver may be a contract that calls back.
    function _send(address to, uint256 amount) internal {
        if (amount == 0) return;
        if (to == address(0)) revert TransferFailed(to, amount);
        (bool success,) = to.call{value: amount}("");
        if (!success) revert TransferFailed(to, amount);
    }
}
