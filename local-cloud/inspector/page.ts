/** The inspector's page: one file, no dependency, everything it shows is set as text. */
export const inspectorPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millwright local cloud</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --mute: light-dark(#5c5c5c, #a8a8a8); font: 14px/1.45 system-ui, sans-serif }
  html { background: light-dark(#fff, #121212); color: light-dark(#111, #eee) }
  body { margin: 0 auto; max-width: 1200px; padding: 16px }
  h1 { font-size: 20px; margin: 0 0 4px } h2 { font-size: 15px; margin: 24px 0 6px }
  .numbers { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 12px 0 } .numbers b { display: block; font-size: 20px; font-variant-numeric: tabular-nums }
  .numbers span { color: var(--mute) }
  .scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }
  th { color: var(--mute); font-weight: 500 } td.wide { white-space: pre-wrap; word-break: break-all; font-family: ui-monospace, monospace; font-size: 12px }
  .count { text-align: right; font-variant-numeric: tabular-nums } .empty { color: var(--mute) }
  form { display: flex; flex-wrap: wrap; gap: 8px; align-items: end } label { display: grid; gap: 2px; color: var(--mute); font-size: 12px }
  input, select, button { font: inherit; padding: 5px 8px } output { min-height: 1.4em; display: block }
</style>
<main>
<h1>Millwright local cloud</h1>
<div id="since" role="status"></div>
<div class="numbers" id="numbers"></div>
<h2>Devices</h2><div class="scroll" tabindex="0" id="devices"></div>
<h2>Sessions</h2><div class="scroll" tabindex="0" id="sessions"></div>
<h2>Event hubs</h2><div class="scroll" tabindex="0" id="partitions"></div>
<h2>Readers</h2><div class="scroll" tabindex="0" id="readers"></div>
<h2>Refused</h2><div class="scroll" tabindex="0" id="refusals"></div>
<h2>Last messages</h2><div class="scroll" tabindex="0" id="messages"></div>
<h2>Faults</h2>
<form id="fault">
  <label>kind<select name="kind"><option>throttle<option>quota<option>offline<option>delay<option>drop-acknowledgement<option>refuse-twin<option>slow-storage<option>failing-storage<option>kill-connection<option>stall-connection<option>expire-token<option>steal-epoch</select></label>
  <label>target (device, or all)<input name="target" placeholder="all"></label>
  <label>lasts (s)<input name="seconds" type="number" min="1" value="60"></label>
  <label>delay (ms)<input name="delayMs" type="number" min="1" value="1000"></label>
  <label>token<input name="token" type="password" autocomplete="off"></label>
  <button>Break it</button>
</form>
<output id="answer"></output>
<div class="scroll" tabindex="0" id="faults"></div>
</main>
<script>
const at = (id) => document.getElementById(id)
const time = (ms) => ms ? new Date(ms).toLocaleTimeString() : ''
const short = (value) => JSON.stringify(value)
function table(id, heads, rows) {
  const box = at(id)
  if (rows.length === 0) { const p = document.createElement('p'); p.className = 'empty'; p.textContent = 'none'; return box.replaceChildren(p) }
  const element = document.createElement('table'), head = element.createTHead().insertRow(), body = element.createTBody()
  heads.forEach((text, at) => { const th = document.createElement('th'); th.textContent = text; if (rows.some((row) => typeof row[at] === 'number')) th.className = 'count'; head.append(th) })
  for (const row of rows) {
    const tr = body.insertRow()
    for (const cell of row) {
      const td = tr.insertCell(); const text = cell === undefined || cell === null ? '' : String(cell)
      td.textContent = text; if (typeof cell === 'number') td.className = 'count'; else if (text.length > 40) td.className = 'wide'
    }
  }
  box.replaceChildren(element)
}
function show(state) {
  at('numbers').replaceChildren(...[['messages received', state.received], ['devices connected', state.sessions.length], ['MQTT', state.connections.mqtt], ['AMQP', state.connections.amqp], ['Web PubSub', state.connections.webPubSub]].map(([name, value]) => {
    const div = document.createElement('div'), b = document.createElement('b'), span = document.createElement('span'); b.textContent = value.toLocaleString(); span.textContent = name; div.append(b, span); return div }))
  table('devices', ['device', 'connected', 'status', 'signs in by', 'model', 'tags', 'desired', 'reported'], state.devices.map((d) => [d.deviceId + (d.isEdge ? ' (edge)' : ''), d.isConnected ? 'yes' : 'no', d.status, d.authentication, d.modelId, short(d.tags), short(d.desired), short(d.reported)]))
  table('sessions', ['identity', 'since', 'last seen', 'listens for'], state.sessions.map((s) => [s.name, time(s.sinceMs), time(s.lastSeenMs), s.subscriptions.join(', ')]))
  table('partitions', ['event hub', 'partition', 'first', 'last', 'last at', 'offset'], state.eventHubs.flatMap((h) => h.partitions.map((p) => [h.name, p.partition, p.beginSequence, p.endSequence - 1, time(p.last && p.last.enqueuedMs), p.last ? p.last.offset : ''])))
  table('readers', ['hub / group / partition', 'epoch', 'credit'], state.readers.map((r) => [r.name, r.epoch, r.credit]))
  table('refusals', ['reason', 'count'], Object.entries(state.refusals))
  table('messages', ['at', 'device', 'bytes', 'properties', 'body'], state.messages.map((m) => [time(m.timeMs), m.deviceId, m.bytes, short(m.properties), m.body]))
  table('faults', ['kind', 'target', 'until', 'struck', 'id'], state.faults.map((f) => [f.kind, f.target || 'all', time(f.untilMs), f.struck, f.id]))
}
let lastMs = 0
async function poll() {
  try { const answer = await fetch('/millwright/state'); show(await answer.json()); lastMs = Date.now(); at('since').textContent = 'live, ' + time(lastMs) }
  catch { at('since').textContent = lastMs ? 'the cloud does not answer since ' + time(lastMs) : 'the cloud does not answer' }
  setTimeout(poll, 1000)
}
at('fault').addEventListener('submit', async (event) => {
  event.preventDefault()
  const form = new FormData(event.target)
  const body = { kind: form.get('kind'), durationMs: 1000 * Number(form.get('seconds')), delayMs: Number(form.get('delayMs')) }
  if (form.get('target')) body.target = form.get('target')
  const answer = await fetch('/millwright/faults', { method: 'POST', headers: { authorization: 'Bearer ' + form.get('token'), 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const result = await answer.json()
  at('answer').textContent = answer.ok ? (result.struck ? 'struck ' + result.struck : 'set') : result.Message
})
poll()
</script>
</html>
`
