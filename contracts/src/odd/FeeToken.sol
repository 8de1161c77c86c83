// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Eip3009Token} from "../Eip3009Token.sol";

/// @title A token that keeps 1 % of every transfer: the payee gets less than was signed.
contract FeeToken is Eip3009Token {
    function symbol() public pure override returns (string memory) {
        return "FEE";
    }

    function _transfer(address from, address to, uint256 value) internal override whenOpen(from, to) {
        require(to != address(0), "ERC20: transfer to the zero address");
        require(balanceOf[from] >= value, "ERC20: transfer amount exceeds balance");
        uint256 fee = value / 100;
        unchecked {
            balanceOf[from] -= value;
            balanceOf[to] += value - fee;
            balanceOf[address(this)] += fee;
        }
        emit Transfer(from, to, value - fee);
        emit Transfer(from, address(this), fee);
    }
}
