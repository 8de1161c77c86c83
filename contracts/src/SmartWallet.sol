// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {recover} from "./Recover.sol";

/// @title An account that is a contract: it has one owner, whose signature is its signature (ERC-1271).
/// @notice The factory names the owner in the transaction that creates the account. For development chains only: the
/// digest is not bound to this account, so what the owner signs holds for all the owner's accounts.
contract SmartWallet {
    address public owner;

    receive() external payable {}

    function initialize(address owner_) external {
        require(owner == address(0), "SmartWallet: already initialized");
        require(owner_ != address(0), "SmartWallet: no owner");
        owner = owner_;
    }

    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory answer) {
        require(msg.sender == owner, "SmartWallet: caller must be the owner");
        bool success;
        (success, answer) = target.call{value: value}(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        bool good = owner != address(0) && recover(digest, signature) == owner;
        return good ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}
