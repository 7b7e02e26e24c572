// Logs and traces. The app writes them by its identity: local authentication is off.
param token string
param location string
param tags object
param logsGbPerDayMax int

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${token}'
  location: location
  tags: tags
  // A loop that logs must not cost more than the plant: the day's rest is lost, and the cap itself is logged.
  properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30, workspaceCapping: { dailyQuotaGb: logsGbPerDayMax } }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: { Application_Type: 'web', WorkspaceResourceId: workspace.id, DisableLocalAuth: true }
}

output insightsName string = insights.name
output insightsConnection string = insights.properties.ConnectionString
