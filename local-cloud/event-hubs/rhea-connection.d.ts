/** rhea's connection class: exported by file, not by its typings. */
declare module 'rhea/lib/connection.js' {
  import type { Duplex } from 'node:stream'
  import type { Container } from 'rhea'
  export default class RheaConnection {
    constructor(options: Record<string, unknown>, container: Container)
    accept(socket: Duplex): this
  }
}
