/** rhea's connection class: exported by file, not by its typings. */
declare module 'rhea/lib/connection.js' {
  import type { Duplex } from 'node:stream'
  import type { Container } from 'rhea'
  export type TypedValue = { readonly descriptor?: { readonly value: unknown }; readonly value: (TypedValue | null)[] }
  /** Its fields in the order of the standard. */
  export type Performative = {
    readonly value: (TypedValue | null)[]
    readonly constructor: { readonly descriptor: { readonly numeric: number } }
  }
  export default class RheaConnection {
    constructor(options: Record<string, unknown>, container: Container)
    /** Size that the header of the frame being received claims. */
    frame_size: number | undefined
    input(bytes: Buffer): void
    /** Sessions by the peer's channel. */
    readonly remote_channel_map: Readonly<Record<number, unknown>>
    on_flow(frame: { readonly channel: number }): void
    on_disposition(frame: { readonly channel: number }): void
    on_detach(frame: { readonly channel: number }): void
    on_transfer(frame: {
      readonly channel: number
      readonly performative: { readonly handle: number; readonly more: boolean }
      readonly payload: Buffer | undefined
    }): void
    accept(socket: Duplex): this
    _write_frame(channel: number, frame: Performative | undefined, payload: Buffer | undefined): void
    /** How the peer logged in, if it did. */
    readonly sasl_transport: { readonly selected?: { readonly mechanism?: unknown } } | undefined
  }
}
