// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IErc1363Receiver, IErc1363Spender, IErc165} from "../want_pay/Interfaces.sol";
import {PlainDollar} from "./PlainDollar.sol";

/// @title A dollar with `transferAndCall` as in ERC-1363.
contract Erc1363Dollar is PlainDollar, IErc165 {
    function symbol() public pure override returns (string memory) {
        return "D1363";
    }

    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IErc165).interfaceId || interfaceId == 0xb0202a11;
    }

    function transferAndCall(address to, uint256 value) external returns (bool) {
        return transferAndCall(to, value, "");
    }

    function transferAndCall(address to, uint256 value, bytes memory data) public returns (bool) {
        transfer(to, value);
        _received(msg.sender, to, value, data);
        return true;
    }

    function transferFromAndCall(address from, address to, uint256 value) external returns (bool) {
        return transferFromAndCall(from, to, value, "");
    }

    function transferFromAndCall(address from, address to, uint256 value, bytes memory data) public returns (bool) {
        transferFrom(from, to, value);
        _received(from, to, value, data);
        return true;
    }

    function approveAndCall(address spender, uint256 value) external returns (bool) {
        return approveAndCall(spender, value, "");
    }

    function approveAndCall(address spender, uint256 value, bytes memory data) public returns (bool) {
        approve(spender, value);
        bytes4 answer = IErc1363Spender(spender).onApprovalReceived(msg.sender, value, data);
        require(answer == IErc1363Spender.onApprovalReceived.selector, "ERC1363: wrong answer of the spender");
        return true;
    }

    function _received(address from, address to, uint256 value, bytes memory data) private {
        require(to.code.length > 0, "ERC1363: the payee has no code");
        bytes4 answer = IErc1363Receiver(to).onTransferReceived(msg.sender, from, value, data);
        require(answer == IErc1363Receiver.onTransferReceived.selector, "ERC1363: wrong answer of the payee");
    }
}
