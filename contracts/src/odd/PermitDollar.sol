// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {recover} from "../Recover.sol";
import {PlainDollar} from "./PlainDollar.sol";

/// @title A dollar with permits (EIP-2612) and no authorizations (EIP-3009).
contract PermitDollar is PlainDollar {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    mapping(address => uint256) public nonces;

    function symbol() public pure override returns (string memory) {
        return "PD";
    }

    function version() external pure returns (string memory) {
        return "1";
    }

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256(bytes(symbol())), keccak256("1"), block.chainid, address(this))
        );
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        require(block.timestamp <= deadline, "ERC20Permit: expired deadline");
        bytes32 message = keccak256(abi.encode(PERMIT_TYPEHASH, owner, spender, value, nonces[owner]++, deadline));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), message));
        require(
            owner != address(0) && recover(digest, abi.encodePacked(r, s, v)) == owner, "ERC20Permit: invalid signature"
        );
        allowance[owner][spender] = value;
        emit Approval(owner, spender, value);
    }
}
