// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Calls back whoever sends it coins, and remembers what came of it.
contract Reenterer {
    address public target;
    bytes public attack;
    /// @notice How often it called back, and how often that was let through.
    uint256 public attempts;
    uint256 public successes;
    /// @notice What the last attempt was answered with.
    bytes public answer;

    /// @notice Arms it: this is called whenever coins come in.
    function plan(address target_, bytes calldata attack_) external {
        (target, attack) = (target_, attack_);
    }

    /// @notice Calls somebody, with the coins sent along.
    function run(address to, bytes calldata data) external payable returns (bytes memory result) {
        bool success;
        (success, result) = to.call{value: msg.value}(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    receive() external payable {
        if (target == address(0)) return;
        attempts += 1;
        bool success;
        (success, answer) = target.call(attack);
        if (success) successes += 1;
    }
}
