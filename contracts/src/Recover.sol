// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

// Above half the order of the curve a signature has a twin; those are refused.
uint256 constant S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

// Who signed; the zero address when nobody did, also for the twin of a good signature.
function recover(bytes32 digest, bytes memory signature) pure returns (address) {
    if (signature.length != 65) return address(0);
    bytes32 r;
    bytes32 s;
    uint8 v;
    assembly ("memory-safe") {
        r := mload(add(signature, 32))
        s := mload(add(signature, 64))
        v := byte(0, mload(add(signature, 96)))
    }
    if (uint256(s) > S_MAX) return address(0);
    return ecrecover(digest, v, r, s);
}
