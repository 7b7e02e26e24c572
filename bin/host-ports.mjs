/**
 * Lets clients that know HTTPS only on port 443 reach a hub whose name has a port (`HostName=localhost:21443`), as
 * `azure-iothub` does: `node --import millwright/host-ports app.js`. The client stays as it is; only where a connection to
 * `name:port` goes is read from the name.
 */
import https from 'node:https'

const createConnection = https.Agent.prototype.createConnection

https.Agent.prototype.createConnection = function (options, ...rest) {
  const named = typeof options === 'object' && /^([^:[\]]+):(\d{1,5})$/.exec(String(options.host ?? ''))
  if (!named) return createConnection.call(this, options, ...rest)
  const [, host, port] = named
  return createConnection.call(this, { ...options, host, hostname: host, port: Number(port), servername: host }, ...rest)
}
