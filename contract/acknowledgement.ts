/** Acknowledgement of a writable property, by the Plug and Play convention (IoT Plug and Play conventions, writable properties). */
export type Acknowledgement = {
  /** What is in force. */
  readonly value: unknown
  /**
   * Codes of HTTP: 200 applied, 202 under way, 203 nothing desired and the default in force, 400 refused, 403 not allowed
   * here, 500 tried and gone back from.
   */
  readonly ac: 200 | 202 | 203 | 400 | 403 | 500
  /** `$version` of the desired properties that it answers. */
  readonly av: number
  /** The reason, for people. */
  readonly ad: string
}
