// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IServiceRegistry} from "./IServiceRegistry.sol";
import {PaidServices} from "./PaidServices.sol";

/// @title Payments per call. Every payment says so in `PaymentMade`, whichever way it came.
/// @notice What is in here belongs to somebody: it is a user's balance, a provider's earnings or the platform's fees.
/// Each fetches its own, even during a pause.
contract PaymentManager is PaidServices, Ownable, Pausable, ReentrancyGuard {
    /// @dev Rates are in hundredths of a percent; a tenth is the most.
    uint256 private constant RATE_MAX = 1_000;
    uint256 private constant RATE_WHOLE = 10_000;

    /// @notice The part of a price that the platform keeps, in hundredths of a percent.
    uint256 public platformFeeRate;
    /// @notice Where the platform's fees go.
    address public feeCollector;

    uint256 private _fees;
    mapping(address user => uint256) private _balance;
    mapping(address provider => uint256) private _earnings;
    mapping(address user => uint256) private _paymentCount;
    mapping(address user => uint256) private _totalSpent;

    /// @dev `amount` is the price, of which `platformFee` is a part.
    event PaymentMade(
        uint256 indexed serviceId, address indexed payer, address indexed provider, uint256 amount, uint256 platformFee
    );
    event BatchPaymentMade(address indexed payer, uint256 totalAmount, uint256 count);
    event BalanceDeposited(address indexed user, uint256 amount);
    event BalanceWithdrawn(address indexed user, uint256 amount);
    event ProviderWithdrawn(address indexed provider, uint256 amount);

    error InsufficientBalance(uint256 required, uint256 available);
    error NoEarningsToWithdraw();
    /// @dev Stands in the public interface; nothing raises it.
    error ArrayLengthMismatch();

    constructor(address _serviceRegistry, uint256 _platformFeeRate, address _feeCollector)
        PaidServices(_serviceRegistry)
        Ownable(msg.sender)
    {
        _setRate(_platformFeeRate);
        feeCollector = _feeCollector;
    }

    /// @notice Pays for one call with the coins sent along; what is beyond the price comes back.
    function payPerUse(uint256 serviceId) external payable whenNotPaused nonReentrant {
        _take(_buy(serviceId));
    }

    /// @notice Pays for one call of each; a service may be named more than once.
    function batchPay(uint256[] calldata serviceIds) external payable whenNotPaused nonReentrant {
        if (serviceIds.length == 0) revert ZeroAmount();
        uint256 total;
        for (uint256 i = 0; i < serviceIds.length; i++) total += _buy(serviceIds[i]);
        emit BatchPaymentMade(msg.sender, total, serviceIds.length);
        _take(total);
    }

    /// @notice Adds to the caller's balance. This pays nobody: it can be withdrawn.
    function deposit() external payable whenNotPaused nonReentrant {
        if (msg.value == 0) revert ZeroAmount();
        _balance[msg.sender] += msg.value;
        emit BalanceDeposited(msg.sender, msg.value);
    }

    /// @notice Takes coins out of the caller's balance.
    function withdraw(uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        _spend(amount);
        emit BalanceWithdrawn(msg.sender, amount);
        _send(msg.sender, amount);
    }

    /// @notice Pays for one call from the caller's balance, at the price of that moment.
    function payFromBalance(uint256 serviceId) external whenNotPaused nonReentrant {
        _spend(_buy(serviceId));
    }

    /// @notice Sends a provider all it has earned.
    function withdrawProviderEarnings() external nonReentrant {
        uint256 amount = _earnings[msg.sender];
        if (amount == 0) revert NoEarningsToWithdraw();
        _earnings[msg.sender] = 0;
        emit ProviderWithdrawn(msg.sender, amount);
        _send(msg.sender, amount);
    }

    /// @notice Sends the fees to their collector. Everybody may ask for it.
    function withdrawPlatformFees() external nonReentrant {
        uint256 amount = _fees;
        if (amount == 0) revert NoEarningsToWithdraw();
        _fees = 0;
        _send(feeCollector, amount);
    }

    /// @notice Sets the rate for payments to come.
    function setPlatformFeeRate(uint256 newRate) external onlyOwner {
        _setRate(newRate);
    }

    /// @notice Sets who gets the fees, those not yet fetched among them.
    function setFeeCollector(address newCollector) external onlyOwner {
        feeCollector = newCollector;
    }

    /// @notice Stops payments and deposits. What is in here can still be fetched.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Ends the pause.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice What a user can spend or withdraw.
    function getUserBalance(address user) external view returns (uint256) {
        return _balance[user];
    }

    /// @notice What a provider can fetch.
    function getProviderEarnings(address provider) external view returns (uint256) {
        return _earnings[provider];
    }

    /// @notice How many calls a user has paid for.
    function getPaymentCount(address user) external view returns (uint256) {
        return _paymentCount[user];
    }

    /// @notice What a user has paid for calls.
    function getTotalSpent(address user) external view returns (uint256) {
        return _totalSpent[user];
    }

    /// @notice The same as `platformFeeRate`.
    function getPlatformFeeRate() external view returns (uint256) {
        return platformFeeRate;
    }

    /// @dev Writes down one payment of the caller; whoever calls this takes the price.
    function _buy(uint256 serviceId) private returns (uint256 price) {
        IServiceRegistry.Service memory service = _activeService(serviceId);
        price = service.pricePerCall;
        uint256 fee = price * platformFeeRate / RATE_WHOLE;
        _fees += fee;
        _earnings[service.provider] += price - fee;
        _paymentCount[msg.sender] += 1;
        _totalSpent[msg.sender] += price;
        emit PaymentMade(serviceId, msg.sender, service.provider, price, fee);
    }

    function _spend(uint256 amount) private {
        uint256 available = _balance[msg.sender];
        if (available < amount) revert InsufficientBalance(amount, available);
        _balance[msg.sender] = available - amount;
    }

    function _setRate(uint256 rate) private {
        if (rate > RATE_MAX) revert InvalidFeeRate(rate);
        platformFeeRate = rate;
    }
}
