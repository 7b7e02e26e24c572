/** Under this name the ledger keeps account of messages that name no device. Apart from the schemas, so that the page stays light. */
export const unknownDeviceId = '(unknown)'
