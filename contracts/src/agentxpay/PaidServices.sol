// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Coins} from "./Coins.sol";
import {IServiceRegistry} from "./IServiceRegistry.sol";

/// @title What payments and subscriptions share: where services are looked up, and how a price is taken.
abstract contract PaidServices is Coins {
    /// @notice Where services, their prices and their plans stand.
    IServiceRegistry public immutable serviceRegistry;

    error ServiceNotActive(uint256 serviceId);
    error InsufficientPayment(uint256 required, uint256 provided);
    error InvalidFeeRate(uint256 feeRate);

    constructor(address registry) {
        serviceRegistry = IServiceRegistry(registry);
    }

    function _activeService(uint256 serviceId) internal view returns (IServiceRegistry.Service memory) {
        if (!serviceRegistry.isServiceActive(serviceId)) revert ServiceNotActive(serviceId);
        return serviceRegistry.getServiceDetails(serviceId);
    }

    /// @dev What came beyond the price goes back.
    function _take(uint256 price) internal {
        if (msg.value < price) revert InsufficientPayment(price, msg.value);
        _send(msg.sender, msg.value - price);
    }
}
