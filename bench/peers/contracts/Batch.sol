// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// Interface-compatible stand-in for Multicall3 (aggregate3 and the few getters that SDKs use).
contract BenchMulticall3 {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory out) {
        uint256 n = calls.length;
        out = new Result[](n);
        for (uint256 i; i < n; ++i) {
            Call3 calldata c = calls[i];
            (bool ok, bytes memory ret) = c.target.call(c.callData);
            require(ok || c.allowFailure, "Multicall3: call failed");
            out[i] = Result(ok, ret);
        }
    }

    function getBlockNumber() external view returns (uint256) {
        return block.number;
    }

    function getChainId() external view returns (uint256) {
        return block.chainid;
    }

    function getEthBalance(address a) external view returns (uint256) {
        return a.balance;
    }

    function getCurrentBlockTimestamp() external view returns (uint256) {
        return block.timestamp;
    }

    function getBasefee() external view returns (uint256) {
        return block.basefee;
    }
}

interface IToken3009 {
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
}

/// Tight batch: one token and one payee for the whole batch, 135 calldata bytes a payment
/// (from 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, s 32, v 1; no ABI padding).
/// A payment that fails is skipped and reported through an event; the others still go through.
contract BenchBatchSettler {
    event Skipped(uint256 index);

    uint256 private constant STRIDE = 135;

    function settle(address token, address to, bytes calldata packed) external returns (uint256 settled) {
        uint256 n = packed.length / STRIDE;
        bytes4 sel = IToken3009.transferWithAuthorization.selector;
        bytes32 skipped = Skipped.selector;
        assembly {
            let m := mload(0x40)
            mstore(m, sel)
            mstore(add(m, 0x24), to)
            let p := packed.offset
            for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                mstore(add(m, 0x04), shr(96, calldataload(p)))
                mstore(add(m, 0x44), shr(192, calldataload(add(p, 20))))
                mstore(add(m, 0x64), shr(216, calldataload(add(p, 28))))
                mstore(add(m, 0x84), shr(216, calldataload(add(p, 33))))
                mstore(add(m, 0xa4), calldataload(add(p, 38)))
                mstore(add(m, 0xc4), byte(0, calldataload(add(p, 134))))
                mstore(add(m, 0xe4), calldataload(add(p, 70)))
                mstore(add(m, 0x104), calldataload(add(p, 102)))
                switch call(gas(), token, 0, m, 0x124, 0, 0)
                case 0 {
                    mstore(0x00, i)
                    log1(0x00, 0x20, skipped)
                }
                default { settled := add(settled, 1) }
                p := add(p, STRIDE)
            }
        }
    }
}
