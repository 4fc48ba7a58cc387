//! Event package `message-summary` (RFC 3842): what waits in a mailbox. There are no mailboxes yet: nothing waits, and a phone that asks is told so.

/// The document of an account.
pub(super) fn document(account: &str) -> String {
    format!("Messages-Waiting: no\r\nMessage-Account: {account}\r\nVoice-Message: 0/0 (0/0)\r\n")
}
