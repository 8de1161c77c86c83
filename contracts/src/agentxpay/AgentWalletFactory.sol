// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AgentWallet} from "./AgentWallet.sol";

/// @title Creates accounts for agents and remembers whose they are.
contract AgentWalletFactory {
    mapping(address owner => address[]) private _wallets;

    event WalletCreated(address indexed owner, address indexed wallet, uint256 dailyLimit);

    /// @notice Creates an account of the caller from which so many wei may be spent a day.
    function createWallet(uint256 dailyLimit) external returns (address wallet) {
        wallet = address(new AgentWallet(msg.sender, dailyLimit));
        _wallets[msg.sender].push(wallet);
        emit WalletCreated(msg.sender, wallet, dailyLimit);
    }

    /// @notice All accounts that an owner has created.
    function getWallets(address owner) external view returns (address[] memory) {
        return _wallets[owner];
    }

    /// @notice How many they are.
    function getWalletCount(address owner) external view returns (uint256) {
        return _wallets[owner].length;
    }
}
