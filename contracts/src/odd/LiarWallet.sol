// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title A wallet that says yes in a simulation, where gas often costs nothing, and no in a transaction.
contract LiarWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return tx.gasprice == 0 ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}
