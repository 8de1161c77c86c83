// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {IServiceRegistry} from "./IServiceRegistry.sol";

/// @title Services for sale, with their prices in wei. Services count from 1, the plans of each from 0.
contract ServiceRegistry is IServiceRegistry, Ownable, Pausable {
    Service[] private _services;
    mapping(uint256 serviceId => SubscriptionPlan[]) private _plans;
    mapping(address provider => uint256[]) private _ofProvider;
    mapping(string category => uint256[]) private _inCategory;

    event ServiceRegistered(uint256 indexed serviceId, address indexed provider, string name, uint256 pricePerCall);
    event ServiceUpdated(uint256 indexed serviceId);
    event ServiceActivated(uint256 indexed serviceId);
    event ServiceDeactivated(uint256 indexed serviceId);
    event SubscriptionPlanAdded(
        uint256 indexed serviceId, uint256 indexed planId, string name, uint256 price, uint256 duration
    );

    error InvalidServiceName();
    error InvalidEndpoint();
    error InvalidPrice();
    error NotServiceProvider(uint256 serviceId, address caller);
    error PlanNotFound(uint256 serviceId, uint256 planId);
    error ServiceAlreadyActive(uint256 serviceId);
    error ServiceAlreadyInactive(uint256 serviceId);
    error ServiceNotFound(uint256 serviceId);
    /// @dev Stands in the public interface; nothing here calls out, so nothing raises it.
    error ReentrancyGuardReentrantCall();

    constructor() Ownable(msg.sender) {}

    /// @notice Puts up a service; it is active at once, and the caller is its provider for good.
    function registerService(
        string calldata name,
        string calldata description,
        string calldata endpoint,
        string calldata category,
        uint256 pricePerCall
    ) external whenNotPaused returns (uint256 serviceId) {
        _check(name, endpoint, pricePerCall);
        serviceId = _services.length + 1;
        _services.push(
            Service(
                serviceId, msg.sender, name, description, endpoint, category, pricePerCall, true, block.timestamp
            )
        );
        _ofProvider[msg.sender].push(serviceId);
        _inCategory[category].push(serviceId);
        emit ServiceRegistered(serviceId, msg.sender, name, pricePerCall);
    }

    /// @notice Changes everything but provider and category.
    function updateService(
        uint256 serviceId,
        string calldata name,
        string calldata description,
        string calldata endpoint,
        uint256 pricePerCall
    ) external whenNotPaused {
        Service storage service = _own(serviceId);
        _check(name, endpoint, pricePerCall);
        service.name = name;
        service.description = description;
        service.endpoint = endpoint;
        service.pricePerCall = pricePerCall;
        emit ServiceUpdated(serviceId);
    }

    /// @notice Puts a service on sale again.
    function activateService(uint256 serviceId) external whenNotPaused {
        Service storage service = _own(serviceId);
        if (service.isActive) revert ServiceAlreadyActive(serviceId);
        service.isActive = true;
        emit ServiceActivated(serviceId);
    }

    /// @notice Takes a service off sale, even while the registry is paused.
    function deactivateService(uint256 serviceId) external {
        Service storage service = _own(serviceId);
        if (!service.isActive) revert ServiceAlreadyInactive(serviceId);
        service.isActive = false;
        emit ServiceDeactivated(serviceId);
    }

    /// @notice Offers a service for so many seconds at a price. A plan never changes. There is no error for a
    /// duration in the public interface: a plan of no seconds is one of a wrong price.
    function addSubscriptionPlan(uint256 serviceId, string calldata name, uint256 price, uint256 duration)
        external
        whenNotPaused
        returns (uint256 planId)
    {
        _own(serviceId);
        if (bytes(name).length == 0) revert InvalidServiceName();
        if (price == 0 || duration == 0) revert InvalidPrice();
        planId = _plans[serviceId].length;
        _plans[serviceId].push(SubscriptionPlan(planId, serviceId, price, duration, name));
        emit SubscriptionPlanAdded(serviceId, planId, name, price, duration);
    }

    /// @notice Stops new services, changes and plans. Payments have a pause of their own.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Ends the pause.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @inheritdoc IServiceRegistry
    function getServiceDetails(uint256 serviceId) external view returns (Service memory) {
        return _service(serviceId);
    }

    /// @notice How many services there are; the newest has this number.
    function getServiceCount() external view returns (uint256) {
        return _services.length;
    }

    /// @notice All services of a category, those off sale among them.
    function getServicesByCategory(string calldata category) external view returns (Service[] memory) {
        uint256[] storage ids = _inCategory[category];
        Service[] memory found = new Service[](ids.length);
        for (uint256 i = 0; i < ids.length; i++) found[i] = _services[ids[i] - 1];
        return found;
    }

    /// @notice The numbers of a provider's services.
    function getServicesByProvider(address provider) external view returns (uint256[] memory) {
        return _ofProvider[provider];
    }

    /// @inheritdoc IServiceRegistry
    function isServiceActive(uint256 serviceId) external view returns (bool) {
        return _exists(serviceId) && _services[serviceId - 1].isActive;
    }

    /// @inheritdoc IServiceRegistry
    function getSubscriptionPlan(uint256 serviceId, uint256 planId) external view returns (SubscriptionPlan memory) {
        _service(serviceId);
        if (planId >= _plans[serviceId].length) revert PlanNotFound(serviceId, planId);
        return _plans[serviceId][planId];
    }

    /// @notice All plans of a service.
    function getSubscriptionPlans(uint256 serviceId) external view returns (SubscriptionPlan[] memory) {
        _service(serviceId);
        return _plans[serviceId];
    }

    function _exists(uint256 serviceId) private view returns (bool) {
        return serviceId != 0 && serviceId <= _services.length;
    }

    function _service(uint256 serviceId) private view returns (Service storage) {
        if (!_exists(serviceId)) revert ServiceNotFound(serviceId);
        return _services[serviceId - 1];
    }

    function _own(uint256 serviceId) private view returns (Service storage service) {
        service = _service(serviceId);
        if (service.provider != msg.sender) revert NotServiceProvider(serviceId, msg.sender);
    }

    function _check(string calldata name, string calldata endpoint, uint256 price) private pure {
        if (bytes(name).length == 0) revert InvalidServiceName();
        if (bytes(endpoint).length == 0) revert InvalidEndpoint();
        if (price == 0) revert InvalidPrice();
    }
}
