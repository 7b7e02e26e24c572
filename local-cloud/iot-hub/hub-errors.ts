/** Errors of IoT Hub: a code, its number, and the HTTP status it travels with (troubleshoot-error-codes.md). */

const numbers = {
  GenericBadRequest: [400, 400000],
  ArgumentInvalid: [400, 400004],
  InvalidQuery: [400, 400000],
  IotHubUnauthorizedAccess: [401, 401002],
  IotHubUnauthorized: [401, 401003],
  IotHubQuotaExceeded: [403, 403002],
  DeviceMaximumQueueDepthExceeded: [403, 403004],
  TooManyDevices: [403, 403003],
  TooManyModulesOnDevice: [403, 403006],
  ResourceNotFound: [404, 404000],
  DeviceNotFound: [404, 404001],
  JobNotFound: [404, 404002],
  ModuleNotFound: [404, 404010],
  ConfigurationNotFound: [404, 404011],
  DeviceNotOnline: [404, 404103],
  DeviceConnectionClosedRemotely: [404, 404104],
  MethodNotAllowed: [405, 405000],
  DeviceAlreadyExists: [409, 409001],
  JobAlreadyExists: [409, 409002],
  ModuleAlreadyExistsOnDevice: [409, 409301],
  ConfigurationAlreadyExists: [409, 409002],
  PreconditionFailed: [412, 412001],
  DeviceMessageLockLost: [412, 412002],
  MessageTooLarge: [413, 413001],
  ThrottlingException: [429, 429001],
  ThrottlingBacklogLimitExceeded: [429, 429002],
  ServerError: [500, 500001],
  ServiceUnavailable: [503, 503001],
  GatewayTimeout: [504, 504101],
} as const
export type HubErrorCode = keyof typeof numbers

/** A request that the hub does not carry out. Whether trying again helps follows from the status: 429 and 5xx. */
export class HubError extends Error {
  override readonly name = 'HubError'
  readonly code: HubErrorCode
  readonly status: number
  readonly errorCode: number
  constructor(code: HubErrorCode, message: string) {
    super(message)
    this.code = code
    ;[this.status, this.errorCode] = numbers[code]
  }
}
