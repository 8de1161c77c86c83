// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IErc677Receiver} from "../want_pay/Interfaces.sol";
import {PlainDollar} from "./PlainDollar.sol";

/// @title A dollar with `transferAndCall` as in ERC-677.
contract Erc677Dollar is PlainDollar {
    event Transfer(address indexed from, address indexed to, uint256 value, bytes data);

    function symbol() public pure override returns (string memory) {
        return "D677";
    }

    function transferAndCall(address to, uint256 value, bytes calldata data) external returns (bool) {
        _transfer(msg.sender, to, value);
        emit Transfer(msg.sender, to, value, data);
        if (to.code.length > 0) IErc677Receiver(to).onTokenTransfer(msg.sender, value, data);
        return true;
    }
}
