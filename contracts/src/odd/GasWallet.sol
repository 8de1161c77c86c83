// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title A wallet that says yes to everything, after it has burned five million gas.
contract GasWallet {
    uint256 public constant BURNED = 5_000_000;

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        uint256 turns;
        while (start - gasleft() < BURNED) turns++;
        return this.isValidSignature.selector;
    }
}
