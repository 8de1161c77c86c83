// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PlainDollar} from "./PlainDollar.sol";

/// @title A dollar that makes a call of anybody's choice in the middle of a transfer, and goes on whatever comes of it.
contract CallingDollar is PlainDollar {
    address private target;
    bytes private data;
    /// What the last call reverted with.
    bytes public refusal;
    uint256 public callsMade;

    function symbol() public pure override returns (string memory) {
        return "CALLS";
    }

    /// @notice The next transfer calls this.
    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _transfer(address from, address to, uint256 value) internal override {
        super._transfer(from, to, value);
        address called = target;
        if (called == address(0)) return;
        target = address(0);
        (bool done, bytes memory answer) = called.call(data);
        callsMade++;
        refusal = done ? bytes("") : answer;
    }
}
