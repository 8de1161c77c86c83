// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IServiceRegistry} from "./IServiceRegistry.sol";
import {PaidServices} from "./PaidServices.sol";

/// @title Access to a service for a time. Subscriptions count from 1.
/// @notice The provider is paid at once, so nothing stays in here. Nothing renews itself either: `autoRenew` is a wish
/// that whoever holds the key may act upon.
contract SubscriptionManager is PaidServices, Ownable, Pausable, ReentrancyGuard {
    /// @dev `isActive` until it is cancelled or another one has taken its place; `endTime` says how long access lasts.
    struct Subscription {
        uint256 subscriptionId;
        uint256 serviceId;
        uint256 planId;
        address subscriber;
        uint256 startTime;
        uint256 endTime;
        bool autoRenew;
        bool isActive;
    }

    /// @notice Nothing: the public interface has no way to set a rate or to fetch fees.
    uint256 public constant platformFeeRate = 0;

    Subscription[] private _subscriptions;
    mapping(address user => uint256[]) private _ofUser;
    /// @dev The newest subscription of a user to a service; only one at a time gives access.
    mapping(address user => mapping(uint256 serviceId => uint256)) private _newest;
    mapping(address provider => uint256) private _earnings;
    mapping(address user => uint256) private _totalSpent;

    event Subscribed(
        uint256 indexed subscriptionId,
        uint256 indexed serviceId,
        uint256 indexed planId,
        address subscriber,
        uint256 startTime,
        uint256 endTime
    );
    event SubscriptionPaid(
        uint256 indexed serviceId,
        address indexed subscriber,
        address indexed provider,
        uint256 amount,
        uint256 platformFee
    );
    event SubscriptionRenewed(uint256 indexed subscriptionId, uint256 newEndTime);
    event SubscriptionCancelled(uint256 indexed subscriptionId);
    event AutoRenewToggled(uint256 indexed subscriptionId, bool autoRenew);

    error AlreadySubscribed(address user, uint256 serviceId);
    error NotSubscriber(uint256 subscriptionId);
    error SubscriptionNotActive(uint256 subscriptionId);
    error SubscriptionNotFound(uint256 subscriptionId);
    /// @dev Stands in the public interface; nothing raises it, because one can renew before the end.
    error SubscriptionStillActive(uint256 subscriptionId);

    constructor(address _serviceRegistry) PaidServices(_serviceRegistry) Ownable(msg.sender) {}

    /// @notice Buys a plan. Whoever still has access to the service, cancelled or not, cannot buy it again.
    function subscribe(uint256 serviceId, uint256 planId)
        external
        payable
        whenNotPaused
        nonReentrant
        returns (uint256 subscriptionId)
    {
        uint256 before = _newest[msg.sender][serviceId];
        if (before != 0) {
            Subscription storage old = _subscriptions[before - 1];
            if (block.timestamp < old.endTime) revert AlreadySubscribed(msg.sender, serviceId);
            old.isActive = false;
        }
        subscriptionId = _subscriptions.length + 1;
        IServiceRegistry.Service memory service = _activeService(serviceId);
        IServiceRegistry.SubscriptionPlan memory plan = serviceRegistry.getSubscriptionPlan(serviceId, planId);
        uint256 endTime = block.timestamp + plan.duration;
        _subscriptions.push(
            Subscription(subscriptionId, serviceId, planId, msg.sender, block.timestamp, endTime, false, true)
        );
        _ofUser[msg.sender].push(subscriptionId);
        _newest[msg.sender][serviceId] = subscriptionId;
        emit Subscribed(subscriptionId, serviceId, planId, msg.sender, block.timestamp, endTime);
        _pay(serviceId, service.provider, plan.price);
    }

    /// @notice Pays for another time of the plan, from the end of the present one or, when that is over, from now.
    function renewSubscription(uint256 subscriptionId) external payable whenNotPaused nonReentrant {
        Subscription storage subscription = _ownActive(subscriptionId);
        uint256 serviceId = subscription.serviceId;
        IServiceRegistry.Service memory service = _activeService(serviceId);
        IServiceRegistry.SubscriptionPlan memory plan =
            serviceRegistry.getSubscriptionPlan(serviceId, subscription.planId);
        uint256 from = block.timestamp < subscription.endTime ? subscription.endTime : block.timestamp;
        subscription.endTime = from + plan.duration;
        emit SubscriptionRenewed(subscriptionId, subscription.endTime);
        _pay(serviceId, service.provider, plan.price);
    }

    /// @notice Ends renewal. Access lasts until the time that was paid for is over.
    function cancelSubscription(uint256 subscriptionId) external {
        Subscription storage subscription = _ownActive(subscriptionId);
        subscription.isActive = false;
        subscription.autoRenew = false;
        emit SubscriptionCancelled(subscriptionId);
    }

    /// @notice Changes the wish to renew; it moves no money.
    function toggleAutoRenew(uint256 subscriptionId) external {
        Subscription storage subscription = _ownActive(subscriptionId);
        subscription.autoRenew = !subscription.autoRenew;
        emit AutoRenewToggled(subscriptionId, subscription.autoRenew);
    }

    /// @notice Stops subscribing and renewing. Access goes on.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Ends the pause.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice Whether a user has paid for a service until after now, cancelled or not.
    function checkAccess(address user, uint256 serviceId) external view returns (bool) {
        uint256 newest = _newest[user][serviceId];
        return newest != 0 && block.timestamp < _subscriptions[newest - 1].endTime;
    }

    /// @notice Whether a subscription runs and is not cancelled.
    function isSubscriptionActive(uint256 subscriptionId) external view returns (bool) {
        Subscription storage subscription = _subscription(subscriptionId);
        return subscription.isActive && block.timestamp < subscription.endTime;
    }

    /// @notice One subscription.
    function getSubscription(uint256 subscriptionId) external view returns (Subscription memory) {
        return _subscription(subscriptionId);
    }

    /// @notice The numbers of all subscriptions that a user ever had.
    function getUserSubscriptions(address user) external view returns (uint256[] memory) {
        return _ofUser[user];
    }

    /// @notice What a provider has been paid so far.
    function getProviderEarnings(address provider) external view returns (uint256) {
        return _earnings[provider];
    }

    /// @notice What a user has paid for subscriptions.
    function getTotalSpent(address user) external view returns (uint256) {
        return _totalSpent[user];
    }

    function _subscription(uint256 subscriptionId) private view returns (Subscription storage) {
        if (subscriptionId == 0 || subscriptionId > _subscriptions.length) revert SubscriptionNotFound(subscriptionId);
        return _subscriptions[subscriptionId - 1];
    }

    function _ownActive(uint256 subscriptionId) private view returns (Subscription storage subscription) {
        subscription = _subscription(subscriptionId);
        if (subscription.subscriber != msg.sender) revert NotSubscriber(subscriptionId);
        if (!subscription.isActive) revert SubscriptionNotActive(subscriptionId);
    }

    function _pay(uint256 serviceId, address provider, uint256 price) private {
        _earnings[provider] += price;
        _totalSpent[msg.sender] += price;
        emit SubscriptionPaid(serviceId, msg.sender, provider, price, platformFeeRate);
        _take(price);
        _send(provider, price);
    }
}
