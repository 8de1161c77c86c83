// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Coins} from "./Coins.sol";

/// @title Holds a payment until the payer is content, somebody gives it back, or the owner decides a dispute.
/// @notice Escrows count from 1. The service is a note: nothing looks it up. A dispute needs an owner; when the owner
/// renounces, nobody can decide those that are open.
contract Escrow is Ownable, ReentrancyGuard, Coins {
    enum EscrowStatus {
        Created,
        Funded,
        Released,
        Disputed,
        Refunded,
        Resolved
    }

    struct EscrowData {
        uint256 escrowId;
        uint256 serviceId;
        address payer;
        address provider;
        uint256 amount;
        EscrowStatus status;
        uint256 createdAt;
        uint256 deadline;
        string description;
    }

    EscrowData[] private _escrows;
    mapping(address user => uint256[]) private _ofUser;

    event EscrowCreated(
        uint256 indexed escrowId, address indexed payer, address indexed provider, uint256 amount
    );
    event EscrowFunded(uint256 indexed escrowId);
    event EscrowReleased(uint256 indexed escrowId);
    event EscrowRefunded(uint256 indexed escrowId);
    event EscrowDisputed(uint256 indexed escrowId, address disputedBy);
    event EscrowResolved(uint256 indexed escrowId, uint256 payerAmount, uint256 providerAmount);

    error DeadlineNotReached(uint256 escrowId);
    error EscrowNotFound(uint256 escrowId);
    error InvalidDeadline();
    error InvalidPercent();
    error InvalidStatus(uint256 escrowId, EscrowStatus current, EscrowStatus expected);
    error NotParty(uint256 escrowId);
    error NotPayer(uint256 escrowId);
    /// @dev Stands in the public interface; nothing raises it: who is neither payer nor provider is no party.
    error NotProvider(uint256 escrowId);

    constructor() Ownable(msg.sender) {}

    /// @notice Puts the coins sent along aside for the provider.
    function createEscrow(uint256 serviceId, address provider, uint256 deadline, string calldata description)
        external
        payable
        nonReentrant
        returns (uint256 escrowId)
    {
        if (msg.value == 0) revert ZeroAmount();
        if (deadline <= block.timestamp) revert InvalidDeadline();
        escrowId = _escrows.length + 1;
        _escrows.push(
            EscrowData(
                escrowId,
                serviceId,
                msg.sender,
                provider,
                msg.value,
                EscrowStatus.Funded,
                block.timestamp,
                deadline,
                description
            )
        );
        _ofUser[msg.sender].push(escrowId);
        if (provider != msg.sender) _ofUser[provider].push(escrowId);
        emit EscrowCreated(escrowId, msg.sender, provider, msg.value);
        emit EscrowFunded(escrowId);
    }

    /// @notice The payer is content: the provider gets all of it.
    function releaseEscrow(uint256 escrowId) external nonReentrant {
        EscrowData storage escrow = _escrow(escrowId);
        if (msg.sender != escrow.payer) revert NotPayer(escrowId);
        _move(escrow, EscrowStatus.Funded, EscrowStatus.Released);
        emit EscrowReleased(escrowId);
        _send(escrow.provider, escrow.amount);
    }

    /// @notice The payer gets all of it back: by the provider at any time, by the payer from the deadline on.
    function refundEscrow(uint256 escrowId) external nonReentrant {
        EscrowData storage escrow = _escrow(escrowId);
        if (msg.sender != escrow.provider) {
            if (msg.sender != escrow.payer) revert NotParty(escrowId);
            if (block.timestamp < escrow.deadline) revert DeadlineNotReached(escrowId);
        }
        _move(escrow, EscrowStatus.Funded, EscrowStatus.Refunded);
        emit EscrowRefunded(escrowId);
        _send(escrow.payer, escrow.amount);
    }

    /// @notice Either party leaves it to the owner of this contract.
    function disputeEscrow(uint256 escrowId) external nonReentrant {
        EscrowData storage escrow = _escrow(escrowId);
        if (msg.sender != escrow.payer && msg.sender != escrow.provider) revert NotParty(escrowId);
        _move(escrow, EscrowStatus.Funded, EscrowStatus.Disputed);
        emit EscrowDisputed(escrowId, msg.sender);
    }

    /// @notice The owner decides: so many percent go back, rounded down, the rest to the provider.
    function resolveDispute(uint256 escrowId, uint256 payerPercent) external onlyOwner nonReentrant {
        EscrowData storage escrow = _escrow(escrowId);
        if (payerPercent > 100) revert InvalidPercent();
        _move(escrow, EscrowStatus.Disputed, EscrowStatus.Resolved);
        uint256 payerAmount = escrow.amount * payerPercent / 100;
        uint256 providerAmount = escrow.amount - payerAmount;
        emit EscrowResolved(escrowId, payerAmount, providerAmount);
        _send(escrow.payer, payerAmount);
        _send(escrow.provider, providerAmount);
    }

    /// @notice One escrow.
    function getEscrow(uint256 escrowId) external view returns (EscrowData memory) {
        return _escrow(escrowId);
    }

    /// @notice The numbers of all escrows that a user pays or provides for.
    function getUserEscrows(address user) external view returns (uint256[] memory) {
        return _ofUser[user];
    }

    function _escrow(uint256 escrowId) private view returns (EscrowData storage) {
        if (escrowId == 0 || escrowId > _escrows.length) revert EscrowNotFound(escrowId);
        return _escrows[escrowId - 1];
    }

    function _move(EscrowData storage escrow, EscrowStatus from, EscrowStatus to) private {
        if (escrow.status != from) revert InvalidStatus(escrow.escrowId, escrow.status, from);
        escrow.status = to;
    }
}
