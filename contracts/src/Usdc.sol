// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Eip3009Token} from "./Eip3009Token.sol";

/// @title The dollar of the dev chain, at the address of Base Sepolia's USDC.
contract Usdc is Eip3009Token {}
