# What error pages say, in English. One message per kind of trouble:
#   the message itself   the headline
#   .happened            what went wrong, for the visitor
#   .todo                what the visitor can do
#   .owner               what it means, for whoever runs the site
# Plain words, short sentences, nobody blamed.

where = Where the trouble is
visitor = You
edge = Mangrove edge
origin = Website

visitor-ok = Connected
visitor-bad = Problem here
edge-ok = Working
edge-bad = Problem here
origin-bad = Problem here
origin-not-asked = Not asked
origin-not-known = Not known

todo-label = What you can do
owner-label = If this is your website
status-label = Status
reason-label = Reason
host-label = Host
time-label = Time
request-id-label = Request id

visitor-request = This request could not be read
    .happened = What arrived from your browser or app breaks a rule of the web, so it was not passed on to the website.
    .todo = Reload the page. If that does not help, delete this site’s cookies or try another browser or network: something on the way may be changing what you send.
    .owner = The client’s request was refused before it reached your server.

visitor-forbidden = You may not open this
    .happened = This site does not allow this request.
    .todo = If you think you should have access, write to the site and give them the request id below.
    .owner = The request was refused by this site’s own settings and did not reach your server.

visitor-not-found = There is nothing at this address
    .happened = The address may be misspelt, or the page may have moved.
    .todo = Check the address, or start again from the site’s front page.
    .owner = The edge answered this itself. Your server was not asked.

visitor-method = This site cannot do that
    .happened = The request asked for an action that is not offered here.
    .todo = Go back and try again from the site’s own pages.
    .owner = The request’s method is not allowed here, and it did not reach your server.

visitor-slow = Your request took too long to arrive
    .happened = Part of the request did not arrive in time, so the edge stopped waiting.
    .todo = Check your connection and try again. For a large upload, a steadier network helps.
    .owner = The client sent too slowly or stopped half-way. Your server is not at fault.

visitor-too-large = This request is too large
    .happened = What was sent is larger than this site accepts.
    .todo = Send a smaller file or a shorter address. If you sent neither, delete this site’s cookies and reload.
    .owner = The request went over one of the edge’s limits. The reason says which; the limits can be set in the configuration.

visitor-unknown-site = This site is not served here
    .happened = Your request reached an edge that does not carry the site it asks for.
    .todo = Check the address. If it is right, the site may just have moved: try again in a few minutes.
    .owner = No site in this edge’s configuration lists this host. Add it to a site’s hosts, or correct the DNS record that leads here.

visitor-too-many = Too many requests
    .happened = More requests came from your address than this site allows at one time.
    .todo = Wait a minute, then try again.
    .owner = A limit on this client was reached. Others are not affected.

edge-trouble = Something went wrong on our side
    .happened = The Mangrove edge that carries this site’s traffic failed while handling your request.
    .todo = Try again in a moment. You did nothing wrong, and the website itself may be fine.
    .owner = This is a fault of the edge, not of your server. The edge’s own log has the details under the request id.

edge-busy = We are very busy right now
    .happened = The Mangrove edge that carries this site’s traffic has no room for more requests at this moment.
    .todo = Wait a minute, then try again. Reloading quickly does not help.
    .owner = The edge reached a ceiling of its own. Add an edge, or raise the limit that the reason names.

loop = This request goes round in a circle
    .happened = Your request came back to an edge that it had already passed through.
    .todo = You cannot mend this. Please try again later.
    .owner = An origin address in the configuration leads back to this network. Point it at your server itself.

origin-unreachable = The website is not answering
    .happened = You are connected and the edge works, but the website’s own server could not be reached or broke off.
    .todo = Wait a minute, then reload. You did nothing wrong.
    .owner = The edge could not get an answer from your server. Check that it runs, listens where the configuration says, and lets this edge in.

origin-slow = The website is taking too long
    .happened = You are connected and the edge works, but the website’s own server did not answer in time.
    .todo = Wait a minute, then reload. If you had sent a form, check first whether it went through.
    .owner = Your server took the request or the connection and then stayed silent past the deadline. Look for load, slow queries or a firewall that drops packets.

origin-busy = The website is very busy
    .happened = You are connected and the edge works, but the website’s own server has no room for more requests at this moment.
    .todo = Wait a minute, then reload. Reloading quickly makes the wait longer.
    .owner = Every connection that the edge may hold to your server was in use for too long. Make your server faster, or allow more connections.

origin-garbled = The website gave a broken answer
    .happened = You are connected and the edge works, but what the website’s own server sent back cannot be trusted.
    .todo = Wait a minute, then reload. You did nothing wrong.
    .owner = Your server’s answer breaks HTTP’s rules in a way that is dangerous to pass on. Nothing of it was sent to the visitor.
