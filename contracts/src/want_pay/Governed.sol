// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Who may decide what `X402Pay` takes: tokens, their symbols, the fee. Nobody here can reach money.
/// @notice What widens or raises something waits for `DELAY` in the open; what closes or lowers it happens at once.
/// It works when only its runtime code is placed at an address: nothing is set by a constructor. Whoever deploys it
/// calls `initialize` in the same transaction, or checks afterwards that `owner` is the one that was meant.
abstract contract Governed {
    struct TokenProposal {
        string symbol;
        uint256 readyAt;
    }

    struct FeeProposal {
        uint256 bps;
        address recipient;
        uint256 readyAt;
    }

    event OwnerChanged(address indexed owner);
    event TokenProposed(address indexed token, string symbol, uint256 readyAt);
    event TokenListed(address indexed token, string symbol);
    event TokenRemoved(address indexed token, string symbol);
    event FeeProposed(uint256 bps, address recipient, uint256 readyAt);
    event FeeChanged(uint256 bps, address recipient);

    error AlreadyInitialized();
    error InvalidOwner();
    error NotOwner();
    error InvalidToken(address token);
    error InvalidSymbol();
    error SymbolTaken(address token);
    error FeeAboveCap(uint256 capBps);
    error InvalidFee();
    error NothingProposed();
    error NotYet(uint256 readyAt);

    /// @notice How long a change that could surprise somebody can be seen before it is made.
    uint256 public constant DELAY = 2 days;
    /// @notice The fee can never be higher: one percent.
    uint256 public constant FEE_BPS_MAX = 100;

    address public owner;
    address public nextOwner;
    /// @notice What `pay` without a token takes. It is chosen once.
    address public defaultToken;
    /// @notice The symbol in the event, empty for a token that is not taken.
    mapping(address => string) public symbolOf;
    /// @notice One symbol means one token, because the event names only the symbol.
    mapping(bytes32 => address) internal tokenOf;
    mapping(address => TokenProposal) public proposedToken;

    /// @notice The fee in hundredths of a percent; 0 at first.
    uint256 public feeBps;
    address public feeRecipient;
    FeeProposal public proposedFee;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    /// @notice Once: who decides, and which tokens are taken from the start. The first one is the default.
    function initialize(address owner_, address[] calldata tokens, string[] calldata symbols) external {
        if (owner != address(0)) revert AlreadyInitialized();
        if (owner_ == address(0)) revert InvalidOwner();
        if (tokens.length != symbols.length) revert InvalidSymbol();
        owner = owner_;
        emit OwnerChanged(owner_);
        for (uint256 i = 0; i < tokens.length; i++) {
            _checkSymbol(symbols[i]);
            _list(tokens[i], symbols[i]);
        }
        if (tokens.length > 0) defaultToken = tokens[0];
    }

    /// @notice The next owner has to accept, so that a mistyped one changes nothing.
    function proposeOwner(address next) external onlyOwner {
        nextOwner = next;
    }

    function acceptOwner() external {
        if (msg.sender != nextOwner) revert NotOwner();
        (owner, nextOwner) = (msg.sender, address(0));
        emit OwnerChanged(msg.sender);
    }

    /// @notice The token with this symbol, the zero address when there is none.
    function tokenWith(string calldata symbol) external view returns (address) {
        return tokenOf[keccak256(bytes(symbol))];
    }

    /// @notice To take a token, or to call one by another symbol, after `DELAY`.
    function proposeToken(address token, string calldata symbol) external onlyOwner {
        _checkSymbol(symbol);
        uint256 readyAt = block.timestamp + DELAY;
        proposedToken[token] = TokenProposal(symbol, readyAt);
        emit TokenProposed(token, symbol, readyAt);
    }

    function acceptToken(address token) external onlyOwner {
        TokenProposal memory proposal = proposedToken[token];
        _checkReady(proposal.readyAt);
        delete proposedToken[token];
        _list(token, proposal.symbol);
    }

    /// @notice Stops taking a token, and forgets what was proposed for it.
    function removeToken(address token) external onlyOwner {
        string memory symbol = symbolOf[token];
        delete proposedToken[token];
        delete symbolOf[token];
        delete tokenOf[keccak256(bytes(symbol))];
        emit TokenRemoved(token, symbol);
    }

    /// @notice To take another fee, after `DELAY`.
    function proposeFee(uint256 bps, address recipient) external onlyOwner {
        if (bps > FEE_BPS_MAX) revert FeeAboveCap(FEE_BPS_MAX);
        if (recipient == address(0) || recipient == address(this)) revert InvalidFee();
        uint256 readyAt = block.timestamp + DELAY;
        proposedFee = FeeProposal(bps, recipient, readyAt);
        emit FeeProposed(bps, recipient, readyAt);
    }

    function acceptFee() external onlyOwner {
        FeeProposal memory proposal = proposedFee;
        _checkReady(proposal.readyAt);
        delete proposedFee;
        (feeBps, feeRecipient) = (proposal.bps, proposal.recipient);
        emit FeeChanged(proposal.bps, proposal.recipient);
    }

    /// @notice No fee from now on, and none proposed.
    function dropFee() external onlyOwner {
        delete proposedFee;
        (feeBps, feeRecipient) = (0, address(0));
        emit FeeChanged(0, address(0));
    }

    function _list(address token, string memory symbol) private {
        if (token == address(0) || token == address(this)) revert InvalidToken(token);
        bytes32 name = keccak256(bytes(symbol));
        address holder = tokenOf[name];
        if (holder != address(0) && holder != token) revert SymbolTaken(holder);
        delete tokenOf[keccak256(bytes(symbolOf[token]))];
        symbolOf[token] = symbol;
        tokenOf[name] = token;
        emit TokenListed(token, symbol);
    }

    function _checkReady(uint256 readyAt) private view {
        if (readyAt == 0) revert NothingProposed();
        if (block.timestamp < readyAt) revert NotYet(readyAt);
    }

    /// 1 to 16 upper-case letters, digits and dots: what `Want-Pay` can name.
    function _checkSymbol(string calldata symbol) private pure {
        bytes calldata letters = bytes(symbol);
        if (letters.length == 0 || letters.length > 16) revert InvalidSymbol();
        for (uint256 i = 0; i < letters.length; i++) {
            bytes1 letter = letters[i];
            bool good = (letter >= "A" && letter <= "Z") || (letter >= "0" && letter <= "9") || letter == ".";
            if (!good) revert InvalidSymbol();
        }
    }
}
