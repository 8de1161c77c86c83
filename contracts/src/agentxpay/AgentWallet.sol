// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

import {Coins} from "./Coins.sol";

/// @title An account from which agents may spend so much a day, and its owner everything.
/// @notice The limit counts wei that leave through `execute`, whoever calls it; what comes back the same day is not
/// counted back. Tokens are not counted at all: keep none in here that agents must not spend.
contract AgentWallet is Coins, ReentrancyGuard {
    using EnumerableSet for EnumerableSet.AddressSet;

    address private immutable _owner;
    uint256 private _dailyLimit;
    /// @dev A day is one of UTC, by number.
    mapping(uint256 day => uint256) private _spentOn;
    EnumerableSet.AddressSet private _agents;

    event AgentAuthorized(address indexed agent);
    event AgentRevoked(address indexed agent);
    event Deposited(address indexed from, uint256 amount);
    event Executed(address indexed to, uint256 value, bytes data);
    event SpendingLimitSet(uint256 dailyLimit);
    event Withdrawn(address indexed to, uint256 amount);

    error AgentAlreadyAuthorized();
    error AgentNotAuthorized();
    error ExceedsDailyLimit(uint256 requested, uint256 remaining);
    /// @dev `data` is what the call was answered with.
    error ExecutionFailed(address to, bytes data);
    error InsufficientFunds(uint256 required, uint256 available);
    error NotAuthorized();
    error NotOwner();

    modifier onlyOwner() {
        if (msg.sender != _owner) revert NotOwner();
        _;
    }

    constructor(address owner_, uint256 dailyLimit) {
        if (owner_ == address(0)) revert NotOwner();
        _owner = owner_;
        _dailyLimit = dailyLimit;
        emit SpendingLimitSet(dailyLimit);
    }

    /// @notice Everybody may put coins in.
    receive() external payable {
        emit Deposited(msg.sender, msg.value);
    }

    /// @notice Calls somebody with coins of this account. Owner and agents may; this account itself is never called.
    function execute(address to, uint256 value, bytes calldata data) external nonReentrant returns (bytes memory) {
        if (msg.sender != _owner && !_agents.contains(msg.sender)) revert NotAuthorized();
        if (to == address(this)) revert NotAuthorized();
        if (value > address(this).balance) revert InsufficientFunds(value, address(this).balance);
        uint256 remaining = getRemainingDailyAllowance();
        if (value > remaining) revert ExceedsDailyLimit(value, remaining);
        _spentOn[_today()] += value;
        emit Executed(to, value, data);
        (bool success, bytes memory answer) = to.call{value: value}(data);
        if (!success) revert ExecutionFailed(to, answer);
        return answer;
    }

    /// @notice Lets an agent spend.
    function authorizeAgent(address agent) external onlyOwner {
        if (!_agents.add(agent)) revert AgentAlreadyAuthorized();
        emit AgentAuthorized(agent);
    }

    /// @notice Takes that right away.
    function revokeAgent(address agent) external onlyOwner {
        if (!_agents.remove(agent)) revert AgentNotAuthorized();
        emit AgentRevoked(agent);
    }

    /// @notice Sets the limit, today's among them; what was spent today stays spent.
    function setDailySpendingLimit(uint256 limit) external onlyOwner {
        _dailyLimit = limit;
        emit SpendingLimitSet(limit);
    }

    /// @notice Sends the owner coins; no limit applies.
    function withdrawFunds(uint256 amount) external onlyOwner nonReentrant {
        if (amount == 0) revert ZeroAmount();
        if (amount > address(this).balance) revert InsufficientFunds(amount, address(this).balance);
        emit Withdrawn(_owner, amount);
        _send(_owner, amount);
    }

    /// @notice Whose account this is; that never changes.
    function getOwner() external view returns (address) {
        return _owner;
    }

    /// @notice What may be spent a day, in wei.
    function getDailySpendingLimit() external view returns (uint256) {
        return _dailyLimit;
    }

    /// @notice What was spent today.
    function getDailySpent() external view returns (uint256) {
        return _spentOn[_today()];
    }

    /// @notice What may still be spent today.
    function getRemainingDailyAllowance() public view returns (uint256) {
        uint256 spent = _spentOn[_today()];
        return spent < _dailyLimit ? _dailyLimit - spent : 0;
    }

    /// @notice Whether this one may spend.
    function isAuthorizedAgent(address agent) external view returns (bool) {
        return _agents.contains(agent);
    }

    /// @notice All who may spend, beside the owner.
    function getAuthorizedAgents() external view returns (address[] memory) {
        return _agents.values();
    }

    /// @notice How many they are.
    function getAuthorizedAgentCount() external view returns (uint256) {
        return _agents.length();
    }

    function _today() private view returns (uint256) {
        return block.timestamp / 1 days;
    }
}
