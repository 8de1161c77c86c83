// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title What payments and subscriptions ask the registry.
interface IServiceRegistry {
    struct Service {
        uint256 id;
        address provider;
        string name;
        string description;
        string endpoint;
        string category;
        uint256 pricePerCall;
        bool isActive;
        uint256 createdAt;
    }

    struct SubscriptionPlan {
        uint256 planId;
        uint256 serviceId;
        uint256 price;
        uint256 duration;
        string name;
    }

    /// @notice One service; reverts when there is none of that number.
    function getServiceDetails(uint256 serviceId) external view returns (Service memory);

    /// @notice One plan of a service; reverts when either does not exist.
    function getSubscriptionPlan(uint256 serviceId, uint256 planId) external view returns (SubscriptionPlan memory);

    /// @notice Whether the service exists and can be paid for.
    function isServiceActive(uint256 serviceId) external view returns (bool);
}
