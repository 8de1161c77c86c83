// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {recover} from "../Recover.sol";
import {pull} from "../want_pay/SafeTransfer.sol";
import {IPermit2} from "./IPermit2.sol";

interface IPermitToken {
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function balanceOf(address account) external view returns (uint256);
    function nonces(address owner) external view returns (uint256);
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

/// @title A till: payers sign that it may take an amount, and it can give it to one payee only.
/// @notice A permit says who may take the money and not where it goes. This contract is who may, and has one way to use it.
/// Anybody may bring a permit here: the money takes the same way, and each permit pays once. Nothing is ever kept here,
/// and nobody owns it.
/// @dev Its address follows from the payee (CREATE2 by the deployer that is on every chain, with a salt of zero), so
/// whoever knows the payee can tell a till from a contract that only calls itself one.
contract PermitTill {
    /// @notice Permit2, at the same address on every chain.
    IPermit2 public constant PERMIT2 = IPermit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    /// @notice Who is paid.
    address public immutable payee;
    /// @notice Whether a signed transfer of Permit2 has paid here, by owner and nonce.
    mapping(address => mapping(uint256 => bool)) public paidByPermit2;
    /// @notice Whether a permit of a token has paid here, by token, owner and nonce.
    mapping(address => mapping(address => mapping(uint256 => bool))) public paidByPermit;

    event PaidByPermit2(address indexed owner, uint256 indexed nonce, address indexed token, uint256 amount);
    event PaidByPermit(address indexed owner, uint256 indexed nonce, address indexed token, uint256 amount);

    error NobodyToPay();
    error PermitExpired(uint256 deadline);
    error PermitUsed(uint256 nonce);
    error PermitTooEarly(uint256 nonce, uint256 next);
    error InvalidSignature();
    error NotArrived();

    constructor(address payee_) {
        if (payee_ == address(0)) revert NobodyToPay();
        payee = payee_;
    }

    /// @notice Takes what was signed for Permit2, all of it, and gives it to the payee.
    function payByPermit2(IPermit2.PermitTransferFrom calldata permit, address owner, bytes calldata signature) external {
        address token = permit.permitted.token;
        uint256 amount = permit.permitted.amount;
        // Permit2 lets a nonce happen once.
        paidByPermit2[owner][permit.nonce] = true;
        uint256 had = IPermitToken(token).balanceOf(payee);
        PERMIT2.permitTransferFrom(permit, IPermit2.SignatureTransferDetails(payee, amount), owner, signature);
        _arrived(token, had, amount);
        emit PaidByPermit2(owner, permit.nonce, token, amount);
    }

    /// @notice Takes what was signed for the token itself (EIP-2612), and gives it to the payee. The signature is checked
    /// here as well: somebody else may have shown it to the token before, and from then on only an allowance says what was
    /// signed, but not until when, nor how often.
    function payByPermit(
        address token,
        address owner,
        uint256 amount,
        uint256 nonce,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (block.timestamp > deadline) revert PermitExpired(deadline);
        if (paidByPermit[token][owner][nonce]) revert PermitUsed(nonce);
        bytes32 message = keccak256(abi.encode(PERMIT_TYPEHASH, owner, address(this), amount, nonce, deadline));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", IPermitToken(token).DOMAIN_SEPARATOR(), message));
        if (owner == address(0) || recover(digest, abi.encodePacked(r, s, v)) != owner) revert InvalidSignature();
        paidByPermit[token][owner][nonce] = true;
        uint256 next = IPermitToken(token).nonces(owner);
        if (nonce > next) revert PermitTooEarly(nonce, next);
        // A nonce that is spent has set the allowance already, or the transfer fails.
        if (nonce == next) IPermitToken(token).permit(owner, address(this), amount, deadline, v, r, s);
        uint256 had = IPermitToken(token).balanceOf(payee);
        pull(token, owner, payee, amount);
        _arrived(token, had, amount);
        emit PaidByPermit(owner, nonce, token, amount);
    }

    /// A token that keeps a fee, or only says that it has moved something, pays nobody.
    function _arrived(address token, uint256 had, uint256 amount) private view {
        if (amount == 0 || IPermitToken(token).balanceOf(payee) < had + amount) revert NotArrived();
    }
}
